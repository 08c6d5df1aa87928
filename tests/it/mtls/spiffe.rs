//! spiffe_x509: workloads with an X.509-SVID (X.509-SVID §2, §3.1, §5.2).

use std::fs;

use mintage::serve::tls::ClientAuth;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::{assert_granted, assert_refused};
use crate::support::{
    Auth, Issue, TestServer, Wire,
    patience::eventually,
    tls::{Pair, San, TestCa, params},
};

struct World {
    server: TestServer,
    /// Signs the server's certificate and nothing else.
    ca: TestCa,
    /// The authorities of example.org and other.org.
    example: TestCa,
    other: TestCa,
    bundles: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let [ca, example, other] = ["server", "example.org", "other.org"].map(TestCa::named);
        let bundles = tempfile::tempdir().unwrap();
        fs::write(bundles.path().join("example.pem"), example.pem()).unwrap();
        fs::write(bundles.path().join("other.pem"), other.pem()).unwrap();
        let directory = bundles.path().display();
        let client = |client_id: &str, members: &str| {
            format!(
                "[[clients]]\nclient_id = \"{client_id}\"\ntoken_endpoint_auth_method = \"spiffe_x509\"\n{members}\n"
            )
        };
        let toml = [
            "[limits]\nfailed_auth_rate = \"off\"\n[tokens]\nsigning_alg = \"ES256\"\n".to_owned(),
            format!(
                "[spiffe.trust_domains.\"example.org\"]\nx509_bundle_file = \"{directory}/example.pem\"\n"
            ),
            format!("[spiffe.trust_domains.\"other.org\"]\nx509_bundle_file = \"{directory}/other.pem\"\n"),
            client("billing", "spiffe_id = \"spiffe://example.org/billing\""),
            client("workers", "spiffe_id = \"spiffe://example.org/workers/*\""),
            client("by-san", "tls_client_auth_san_uri = \"spiffe://example.org/by-san\""),
            client("spiffe://example.org/itself", ""),
            client("others", "spiffe_id = \"spiffe://other.org/*\""),
        ];
        let server = TestServer::with_tls(&toml.concat(), &ca, ClientAuth::Optional).await;
        Self { server, ca, example, other, bundles }
    }

    async fn granted(&self, pair: &Pair, client_id: &str) {
        assert_granted(&self.server, &self.ca, pair, client_id).await;
    }

    async fn refused(&self, pair: &Pair, client_id: &str) {
        assert_refused(&self.server, &self.ca, pair, client_id).await;
    }
}

fn svid(authority: &TestCa, id: &str) -> Pair {
    authority.client("", &[San::uri(id)])
}

#[tokio::test]
async fn the_identifier_says_which_client_it_is() {
    let world = World::start().await;
    let of = |id: &str| svid(&world.example, id);
    world.granted(&of("spiffe://example.org/billing"), "billing").await;
    world.granted(&of("spiffe://example.org/workers/a"), "workers").await;
    world.granted(&of("spiffe://example.org/workers/a/b"), "workers").await;
    world.granted(&of("spiffe://example.org/by-san"), "by-san").await;
    world.granted(&of("spiffe://example.org/itself"), "spiffe://example.org/itself").await;
    world.granted(&svid(&world.other, "spiffe://other.org/x"), "others").await;
    // Names of another kind are nobody's business.
    let with_dns =
        world.example.client("x", &[San::dns("a.example"), San::uri("spiffe://example.org/billing")]);
    world.granted(&with_dns, "billing").await;

    world.refused(&of("spiffe://example.org/billing/x"), "billing").await;
    world.refused(&of("spiffe://example.org/bill"), "billing").await;
    world.refused(&of("spiffe://example.org/workers"), "workers").await;
    world.refused(&of("spiffe://example.org/workersx"), "workers").await;
    world.refused(&of("spiffe://example.org/billing"), "workers").await;
}

// V-20
#[tokio::test]
async fn an_authority_vouches_for_its_own_trust_domain() {
    let world = World::start().await;
    world.refused(&svid(&world.other, "spiffe://example.org/billing"), "billing").await;
    world.refused(&svid(&world.example, "spiffe://other.org/x"), "others").await;
    world.refused(&svid(&world.example, "spiffe://unknown.org/x"), "others").await;
    // The authorities of tls_client_auth are not those of a trust domain.
    world.refused(&svid(&world.ca, "spiffe://example.org/billing"), "billing").await;
    let mut with_authority = svid(&world.other, "spiffe://example.org/billing");
    with_authority.certificates += &world.example.pem();
    world.refused(&with_authority, "billing").await;
    // A second SVID beside one's own is not proven.
    let mut with_extra = svid(&world.example, "spiffe://example.org/workers/a");
    with_extra.certificates += &svid(&world.example, "spiffe://example.org/billing").certificates;
    world.refused(&with_extra, "billing").await;
}

#[tokio::test]
async fn what_is_no_svid_of_a_workload_is_refused() {
    let world = World::start().await;
    let id = || San::uri("spiffe://example.org/billing");
    let with = |names: &[San], change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = params("x", names, ExtendedKeyUsagePurpose::ClientAuth);
        change(&mut params);
        world.example.sign(&params)
    };
    world.granted(&with(&[id()], &|_| ()), "billing").await;
    for pair in [
        with(&[], &|_| ()),
        with(&[San::dns("billing.example")], &|_| ()),
        with(&[id(), San::uri("spiffe://example.org/other")], &|_| ()),
        with(&[id(), San::uri("https://billing.example")], &|_| ()),
        with(&[San::uri("spiffe://example.org")], &|_| ()),
        with(&[San::uri("SPIFFE://example.org/billing")], &|_| ()),
        with(&[San::uri("spiffe://example.org/billing/")], &|_| ()),
        with(&[id()], &|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        with(&[id()], &|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        with(&[id()], &|params| params.key_usages.push(KeyUsagePurpose::CrlSign)),
        with(&[id()], &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        with(&[id()], &|params| params.not_after = rcgen::date_time_ymd(2027, 1, 14)),
    ] {
        world.refused(&pair, "billing").await;
    }
}

// F-29
#[tokio::test]
async fn a_bundle_is_read_again_when_it_changes() {
    let world = World::start().await;
    let next = TestCa::named("example.org, next");
    let pair = svid(&next, "spiffe://example.org/billing");
    world.refused(&pair, "billing").await;
    fs::write(world.bundles.path().join("example.pem"), format!("{}{}", world.example.pem(), next.pem()))
        .unwrap();
    eventually("the new authority is trusted", async || {
        let [rest, _] = Wire::both_with_tls(&world.server, &world.ca, Some(&pair)).await;
        rest.issue(&Auth::certificate("billing"), &Issue::default()).await.is_ok()
    })
    .await;
    world.granted(&svid(&world.example, "spiffe://example.org/billing"), "billing").await;
}
