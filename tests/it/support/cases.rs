//! Requests nobody chose, for the comparison of the transports.

use proptest::{
    prelude::*,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    auth::{Auth, WRONG, basic, raw_basic},
    wire::Issue,
};

/// Clients with generated secrets, so that neither a right nor a wrong one costs Argon2id. Few sign with RSA.
pub const PARITY_CLIENTS: [(&str, &str); 10] = [
    ("plain", "scope = \"read write\"\nintrospect = \"any\""),
    ("hmac", "scope = \"read\"\naccess_token_signing_alg = \"HS256\""),
    ("edwards", "access_token_signing_alg = \"EdDSA\"\naudiences = [\"plain\", \"hmac\", \"basic\"]"),
    (
        "a:b %+c",
        "scope = \"read write admin\"\naudiences = [\"https://api.example\", \"https://other.example\"]",
    ),
    ("basic", "token_endpoint_auth_method = \"client_secret_basic\"\nscope = \"admin\""),
    (
        "post",
        "token_endpoint_auth_method = \"client_secret_post\"\nclaims = { n = 1.10, b = 12345678901234567890123 }",
    ),
    ("off", "enabled = false\nscope = \"read\""),
    ("granted-nothing", "grant_types = []"),
    ("rsa", "access_token_signing_alg = \"RS256\"\nscope = \"read\""),
    ("short", "access_token_lifetime = \"30s\"\nscope = \"read\""),
];

/// The secret of one of them.
pub fn secret(client_id: &str) -> String {
    let filler: String = client_id.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("mint_{filler:_<43.43}")
}

/// A request that both transports can carry.
#[derive(Clone, Debug)]
pub enum Case {
    Issue(Auth, Issue),
    Introspect(Auth, String),
    UserInfo(Auth, Option<String>),
    Revoke(Auth, String, String),
}

fn client_id() -> BoxedStrategy<String> {
    prop_oneof![
        20 => prop::sample::select(PARITY_CLIENTS.map(|(client_id, _)| client_id).to_vec()).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["unknown", "public", "disabled", "Plain", "plain ", ""]).prop_map(str::to_owned),
        1 => "[ -~]{1,20}",
        1 => any::<String>(),
    ]
    .boxed()
}

/// Mostly right. A wrong one has the generated form, but for a handful that cost Argon2id.
fn credentials() -> BoxedStrategy<(String, String)> {
    client_id()
        .prop_flat_map(|client_id| {
            let secret = prop_oneof![
                160 => Just(secret(&client_id)),
                30 => Just(WRONG.to_owned()),
                20 => Just(String::new()),
                1 => Just("chosen".to_owned()),
            ];
            (Just(client_id), secret)
        })
        .boxed()
}

fn auth() -> BoxedStrategy<Auth> {
    let header = prop_oneof![
        "Basic [A-Za-z0-9+/=]{0,30}",
        "[ -~]{0,30}".prop_map(|text| text.trim().to_owned()),
        "[ -~&&[^:]]{0,20}".prop_map(raw_basic),
        "[a-z:%+]{0,20}:mint_[a-z]{43}".prop_map(raw_basic),
    ];
    prop_oneof![
        50 => credentials().prop_map(|(id, secret)| Auth::Basic(id, secret)),
        50 => credentials().prop_map(|(id, secret)| Auth::Post(id, secret)),
        4 => credentials().prop_map(|(id, secret)| Auth::Both(id, secret)),
        6 => (credentials(), client_id()).prop_map(|((id, secret), beside)| Auth::BasicBeside(id, secret, beside)),
        3 => credentials().prop_map(|(id, _)| Auth::BasicBeside(id.clone(), secret(&id), id)),
        4 => header.prop_map(Auth::Header),
        2 => (credentials(), credentials()).prop_map(|(a, b)| Auth::Headers(vec![basic(&a.0, &a.1), basic(&b.0, &b.1)])),
        2 => Just(Auth::None),
    ]
    .boxed()
}

fn issue() -> BoxedStrategy<Issue> {
    let scope = prop_oneof![
        4 => Just(None),
        6 => prop::collection::vec(prop::sample::select(vec!["read", "read", "read", "read", "write", "admin", "Read"]), 1..4)
            .prop_map(|tokens| Some(tokens.join(" "))),
        2 => prop::sample::select(vec!["read", "read write"]).prop_map(|scope| Some(scope.to_owned())),
        1 => "[!-~ ]{1,20}".prop_map(Some),
        1 => any::<String>().prop_filter_map("empty is omitted", |text| (!text.is_empty()).then_some(Some(text))),
    ];
    let target = || {
        let known =
            vec!["https://api.example", "https://other.example", "https://id.example", "plain", "hmac", "/x"];
        prop_oneof![
            12 => prop::sample::select(known).prop_map(str::to_owned),
            1 => "[!-~]{1,20}",
            1 => "https://[a-z]{1,8}/#?[a-z]{0,4}",
        ]
    };
    // Several targets of one client, so that their order in the token is compared too.
    let together = || {
        let of_one_client =
            vec![vec!["https://api.example", "https://other.example"], vec!["plain", "hmac", "basic"]];
        prop::sample::select(of_one_client)
            .prop_shuffle()
            .prop_map(|targets| targets.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let targets = move || {
        prop_oneof![
            8 => Just(vec![]).boxed(),
            1 => prop::collection::vec(target(), 1..4).boxed(),
            1 => together().boxed(),
        ]
    };
    (scope, targets(), targets())
        .prop_map(|(scope, resources, audiences)| Issue { scope, resources, audiences })
        .boxed()
}

fn token(pool: &[String]) -> BoxedStrategy<String> {
    prop_oneof![
        30 => prop::sample::select(pool.to_vec()),
        1 => "[A-Za-z0-9_.-]{1,60}",
        1 => "e30\\.[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}",
    ]
    .boxed()
}

/// Requests whose tokens come from `pool`, most of them. Those that may be revoked are asked about by nobody: the answer
/// would depend on who comes first.
fn case(pool: &[String], revocable: &[String]) -> Union<BoxedStrategy<Case>> {
    let bearer = prop_oneof![
        20 => token(pool).prop_map(|token| Auth::Header(format!("Bearer {token}"))),
        2 => token(pool).prop_map(|token| Auth::Header(format!("bEaReR  {token}"))),
        1 => token(pool).prop_map(|token| Auth::Headers(vec![format!("Bearer {token}"); 2])),
        2 => auth(),
    ];
    let presented = prop_oneof![
        5 => (bearer, Just(None)).boxed(),
        2 => (Just(Auth::None), token(pool).prop_map(Some)).boxed(),
        1 => (auth().prop_filter("a form of its own", |auth| auth.parameters().is_empty()), token(pool).prop_map(Some)).boxed(),
    ];
    let anybody = prop::sample::select(vec!["plain", "hmac", "edwards"]);
    let caller = || {
        prop_oneof![
            1 => auth(),
            1 => anybody.clone().prop_map(|client_id| Auth::basic(client_id, &secret(client_id))),
        ]
    };
    let revoker = caller();
    let no_message = |auth: Auth| if auth.message().is_some() { Auth::None } else { auth };
    Union::new_weighted(vec![
        (5, (auth(), issue()).prop_map(|(auth, issue)| Case::Issue(auth, issue)).boxed()),
        (
            3,
            (caller(), prop_oneof![20 => token(pool), 1 => Just(String::new())])
                .prop_map(|(auth, token)| Case::Introspect(auth, token))
                .boxed(),
        ),
        (
            1,
            (
                revoker,
                prop_oneof![20 => token(revocable), 1 => Just(String::new())],
                prop::sample::select(vec!["", "access_token", "refresh_token", "?"]).prop_map(str::to_owned),
            )
                .prop_map(|(auth, token, hint)| Case::Revoke(auth, token, hint))
                .boxed(),
        ),
        (2, presented.prop_map(move |(auth, token)| Case::UserInfo(no_message(auth), token)).boxed()),
    ])
}

/// The first `count` cases of a seed.
pub fn cases(seed: u64, count: usize, pool: Vec<String>, revocable: Vec<String>) -> Vec<Case> {
    let generate = move || {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let strategy = case(&pool, &revocable);
        (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
    };
    // Unoptimised strategies take more stack than a test has.
    std::thread::Builder::new().stack_size(64 << 20).spawn(generate).unwrap().join().unwrap()
}
