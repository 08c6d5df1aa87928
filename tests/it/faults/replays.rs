//! What may be used once, on three replicas at once (F-15, V-16). `MINTAGE_RACES` says how often.

use mintage::{
    clock::{Clock, SystemClock},
    jose::{JwsAlgorithm, PrivateKey},
};
use serde_json::{Value, json};

use super::*;
use crate::support::{cluster::Answer, dpop::DpopKey};

/// One use, sent to every replica.
#[derive(Clone)]
struct Use {
    who: Option<Known>,
    form: String,
    proof: String,
}

impl Use {
    async fn at(&self, replica: &Replica) -> Answer {
        replica.prove(self.who.as_ref(), &self.form, &self.proof).await
    }
}

/// A client with a key, as the replicas have it in their file.
fn client(key: &PrivateKey) -> String {
    let Value::Object(jwk) = serde_json::to_value(key.jwk()).unwrap() else { panic!("no object") };
    let members: Vec<_> = jwk.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!(
        "[[clients]]\nclient_id = \"signs\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
         access_token_signing_alg = \"ES256\"\njwks = {{ keys = [{{ {} }}] }}\n",
        members.join(", ")
    )
}

fn assertion(key: &PrivateKey, jti: u64) -> Use {
    let now = SystemClock.now().seconds();
    let claims = json!({
        "iss": "signs", "sub": "signs", "aud": "https://id.example", "jti": format!("jti-{jti}"), "iat": now,
        "exp": now + 60,
    });
    let assertion = key.sign(Default::default(), claims.to_string().as_bytes()).unwrap();
    let form = format!(
        "grant_type=client_credentials&client_assertion={assertion}\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    Use { who: None, form, proof: String::new() }
}

fn proof(key: &DpopKey) -> Use {
    let now = SystemClock.now().seconds();
    let claims = json!({ "htm": "POST", "htu": "https://id.example/token", "iat": now });
    let form = "grant_type=client_credentials".to_owned();
    Use { who: Some(Known::configured("configured")), form, proof: key.proof(&claims) }
}

/// The statuses of one use at all replicas at the same moment. 503 says nothing of who was first, and counts for nobody.
async fn race(replicas: &[Arc<Replica>], once: &Use) -> Vec<u16> {
    let requests: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let (replica, once) = (Arc::clone(replica), once.clone());
            tokio::spawn(async move { once.at(&replica).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for request in requests {
        let answer = request.await.unwrap();
        match answer.status {
            200 => assert!(answer.body["access_token"].is_string()),
            400 => {
                let error = answer.body["error"].as_str().unwrap();
                assert!(["invalid_client", "invalid_dpop_proof"].contains(&error), "{answer:?}");
            }
            _ => assert!(answer.is_unavailable(), "{answer:?}"),
        }
        statuses.push(answer.status);
    }
    statuses
}

// F-15, V-16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_replicas_one_accepts() {
    let races: u64 = std::env::var("MINTAGE_RACES").map_or(200, |text| text.parse().unwrap());
    let (key, dpop) = (PrivateKey::generate(JwsAlgorithm::ES256).unwrap(), DpopKey::generate());
    let mut cluster = Cluster::start(Postgres::shared(), 3, &client(&key)).await;
    let begun = Instant::now();
    let (mut accepted, mut put_off) = (0, 0);
    let mut last = Vec::new();
    for number in 0..races {
        let once = if number % 2 == 0 { assertion(&key, number) } else { proof(&dpop) };
        let statuses = race(&cluster.replicas, &once).await;
        let (granted, busy) = (count(&statuses, 200), count(&statuses, 503));
        // A claim whose answer did not come in time may have been the first: then there is none.
        assert!(granted == 1 || (granted == 0 && busy > 0), "{number}: {statuses:?}");
        accepted += granted;
        put_off += usize::from(granted == 0);
        if number + 2 >= races {
            last.push(once);
        }
    }
    println!(
        "{races} assertions and proofs at three replicas each in {:.1?}: {accepted} accepted once, {put_off} put off",
        begun.elapsed()
    );
    assert!(accepted + put_off == races as usize && put_off * 10 <= races as usize);

    // A replica that was killed has forgotten what it knew; the store has not.
    let replica = Arc::get_mut(&mut cluster.replicas[0]).unwrap();
    replica.process.signal("KILL");
    replica.process.ended().await;
    replica.respawn(Postgres::shared(), &cluster.database, &client(&key));
    replica.process.ready().await;
    for once in last {
        let statuses = race(&cluster.replicas, &once).await;
        assert_eq!(count(&statuses, 200), 0, "{statuses:?}");
    }
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

/// The setting `replay` while the store is cut off, of whole servers.
async fn cut_off(replay: &str) -> (Cluster, Use, Use) {
    let settings = format!("replay = \"{replay}\"");
    let cluster = Cluster::start(Postgres::shared(), 1, &settings).await;
    let dpop = DpopKey::generate();
    let before = proof(&dpop);
    let replica = &cluster.replicas[0];
    eventually("a proof is accepted", async || before.at(replica).await.status != 503).await;
    replica.proxy.set(Mode::Blackhole);
    (cluster, before, proof(&dpop))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_refuses_proofs_while_the_store_is_cut_off() {
    let (cluster, _, once) = cut_off("strict").await;
    let replica = &cluster.replicas[0];
    let answer = once.at(replica).await;
    assert!(answer.is_unavailable() && answer.took < NO_WAIT, "{answer:?}");
    replica.proxy.set(Mode::Pass);
    eventually("proofs are accepted again", async || {
        proof(&DpopKey::generate()).at(replica).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_accepts_proofs_once_while_the_store_is_cut_off() {
    let (cluster, before, once) = cut_off("local").await;
    let replica = &cluster.replicas[0];
    assert_eq!(before.at(replica).await.status, 400);
    let answer = once.at(replica).await;
    assert!(answer.status == 200 && answer.took < NO_WAIT, "{answer:?}");
    assert_eq!(once.at(replica).await.status, 400);
    let figure = "mintage_replay_claims_total{outcome=\"ok_locally\"}";
    eventually("it is counted", async || replica.metric(figure).await >= 1.0).await;
}
