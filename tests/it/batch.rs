//! BatchIntrospect: many questions, one authentication. REST has no twin; each answer is that of a single question.

use mintage::grpc::pb::token::{self as pb, batch_introspect_request, introspect_request};

use crate::support::{
    Auth, Outcome, TestServer, WRONG, Wire, error,
    jwt::{broken, claims},
    server::{CLIENTS, NOW},
    wire::finish,
};

fn question(token: &str) -> pb::IntrospectRequest {
    pb::IntrospectRequest { token: token.to_owned(), ..Default::default() }
}

async fn ask(
    wire: &Wire,
    auth: &Auth,
    requests: Vec<pb::IntrospectRequest>,
) -> Outcome<Vec<pb::IntrospectResponse>> {
    let client_authentication =
        auth.message().map(batch_introspect_request::ClientAuthentication::ClientSecret);
    let message = pb::BatchIntrospectRequest { requests, client_authentication, ..Default::default() };
    finish(wire.grpc().batch_introspect(auth.call(message)).await).map(|response| response.responses)
}

// Answers come in the order of the questions, and each is what the single question gets.
#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_the_order_of_the_questions() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let mut questions = Vec::new();
    for client_id in ["es256", "eddsa", "hs256", "es384", "rs256", "ps256"] {
        let token = grpc.token(client_id).await;
        questions.push(question(&token));
        questions.extend(
            broken(&token)
                .iter()
                .filter(|(_, text)| text.len() < 2000)
                .take(3)
                .map(|(_, text)| question(text)),
        );
        questions.push(pb::IntrospectRequest {
            required_scopes: vec!["admin".to_owned()],
            view: pb::IntrospectView::Basic.into(),
            ..question(&token)
        });
        questions
            .push(pb::IntrospectRequest { view: pb::IntrospectView::ActiveOnly.into(), ..question(&token) });
    }
    questions.reverse();
    for auth in [Auth::of("resource-server"), Auth::post("resource-server"), Auth::of("es384")] {
        let answers = ask(&grpc, &auth, questions.clone()).await.unwrap();
        assert_eq!(answers.len(), questions.len());
        for (question, answer) in questions.iter().zip(&answers) {
            assert_eq!(answer, &grpc.introspect_message(&auth, question.clone()).await.unwrap());
        }
    }
}

// V-11: one bad signature beside a hundred good ones is the bad one's problem alone. A hundred RSA tokens take more than
// the 64 KiB a message may have by default (V-60), so an operator who wants those together raises the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_questions_are_answered() {
    let server =
        TestServer::with(&CLIENTS.replacen("[limits]", "[limits]\nmax_body_bytes = 262144", 1)).await;
    let [_, grpc] = Wire::both(&server).await;
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push(grpc.token("rs256").await);
    }
    tokens[42] = broken(&tokens[42])[0].1.clone();
    let questions = tokens.iter().map(|token| question(token)).collect();
    let answers = ask(&grpc, &Auth::of("resource-server"), questions).await.unwrap();
    assert_eq!(answers.len(), 100);
    for (n, (token, answer)) in tokens.iter().zip(&answers).enumerate() {
        assert_eq!(answer.active, n != 42);
        if answer.active {
            assert_eq!(answer.token_id, claims(token)["jti"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_one_to_a_hundred_questions() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let auth = Auth::of("resource-server");
    for count in [0, 101, 1000] {
        let questions = std::iter::repeat_n(question("x"), count).collect();
        assert_eq!(error(ask(&grpc, &auth, questions).await), "invalid_request", "{count}");
    }
    for count in [1, 100] {
        let questions = std::iter::repeat_n(question("x"), count).collect();
        assert_eq!(ask(&grpc, &auth, questions).await.unwrap().len(), count);
    }
}

// CHK-39: one authentication for all, before anything is looked at
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_authenticated_once() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let token = grpc.token("es256").await;
    for auth in [
        Auth::None,
        Auth::basic("resource-server", WRONG),
        Auth::form("resource-server", WRONG),
        Auth::of("disabled"),
    ] {
        for questions in [vec![question(&token)], vec![], vec![question("")]] {
            assert_eq!(error(ask(&grpc, &auth, questions).await), "invalid_client", "{auth:?}");
        }
    }
    let both = Auth::Both("resource-server".to_owned(), "rs-secret".to_owned());
    assert_eq!(error(ask(&grpc, &both, vec![question(&token)]).await), "invalid_request");
}

// Two identities in one call would leave open which of them an answer is for.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_with_an_authentication_of_its_own_is_refused() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let token = grpc.token("es256").await;
    for secret in [
        Auth::post("es256").message(),
        Auth::post("resource-server").message(),
        Some(pb::ClientSecret::default()),
    ] {
        let item = pb::IntrospectRequest {
            client_authentication: secret.map(introspect_request::ClientAuthentication::ClientSecret),
            ..question(&token)
        };
        let outcome = ask(&grpc, &Auth::of("resource-server"), vec![question(&token), item.clone()]).await;
        assert_eq!(error(outcome), "invalid_request");
        // And it is no authentication for the batch.
        assert_eq!(error(ask(&grpc, &Auth::None, vec![item]).await), "invalid_client");
    }
}

// An item without a token is a mistake of the caller, not an inactive token.
#[tokio::test(flavor = "multi_thread")]
async fn one_item_without_a_token_fails_the_batch() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let token = grpc.token("es256").await;
    let questions = vec![question(&token), question(""), question(&token)];
    assert_eq!(error(ask(&grpc, &Auth::of("resource-server"), questions).await), "invalid_request");
}

// V-27, CHK-43: the caller's rights count for each item
#[tokio::test(flavor = "multi_thread")]
async fn active_and_inactive_are_mixed_by_what_the_caller_may_know() {
    let server = TestServer::start().await;
    let [_, grpc] = Wire::both(&server).await;
    let (own, foreign, meant_for_it) =
        (grpc.token("es384").await, grpc.token("rs256").await, grpc.token("eddsa").await);
    let short = grpc.token("es256").await;
    let questions = || [&own, &foreign, &meant_for_it, &short].map(|token| question(token)).to_vec();
    let active =
        |answers: Vec<pb::IntrospectResponse>| answers.iter().map(|answer| answer.active).collect::<Vec<_>>();
    let answers = ask(&grpc, &Auth::of("es384"), questions()).await.unwrap();
    assert_eq!(answers[1], pb::IntrospectResponse::default());
    assert_eq!(active(answers), [true, false, true, false]);
    let answers = ask(&grpc, &Auth::of("resource-server"), questions()).await.unwrap();
    assert_eq!(active(answers), [true, true, true, true]);
    server.clock.set(NOW + 300);
    let answers = ask(&grpc, &Auth::of("resource-server"), questions()).await.unwrap();
    assert_eq!(active(answers), [true, true, true, false]);
}
