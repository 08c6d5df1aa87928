//! The first minutes of a new user, who has set nothing but the issuer.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    time::Instant,
};

use super::host::{Answer, Host, Registered};
use crate::support::patience::patiently;

// CHK-85
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_nothing_but_an_issuer_keeps_its_state() {
    let host = Host::sqlite().with("ISSUER_URL", "https://id.example");
    // No configuration at all.
    fs::remove_file(host.path("mintage.toml")).unwrap();
    File::create(host.path("mintage.toml")).unwrap();
    let mut server = host.start().await;
    for name in ["mintage.db", "mintage.db.key"] {
        let mode = fs::metadata(host.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let stderr = server.stderr();
    assert!(
        stderr.contains("no client is registered") && stderr.contains("mintage client create"),
        "{stderr}"
    );
    assert!(server.stdout().contains("mintage.db"), "{}", server.stdout());
    println!("{}\n{stderr}", server.stdout());

    let outcome = host.run(&["client", "create", "--client-id", "first", "--scope", "read"]);
    println!("{}{}", outcome.done(), outcome.stderr);
    let outcome =
        host.run(&["client", "create", "--client-id", "checker", "--introspect", "any", "--output", "json"]);
    let checker: serde_json::Value = serde_json::from_str(outcome.done()).unwrap();
    let checker = Registered {
        client_id: "checker".to_owned(),
        secret: checker["client_secret"].as_str().unwrap().to_owned(),
    };
    let begun = Instant::now();
    let token = server.token(checker.credentials()).await;
    println!("the first token after {:.1?}", begun.elapsed());
    let revoked = server.token(checker.credentials()).await;
    server.revoked_by(checker.credentials(), &revoked).await;
    let kids = server.kids().await;
    assert_eq!(server.interrupt(), Some(0), "{}", server.stderr());

    let server = host.start().await;
    assert!(!server.stderr().contains("no client"), "{}", server.stderr());
    assert_eq!(server.kids().await, kids);
    for (token, active) in [(token, true), (revoked, false)] {
        let form = format!("token={token}");
        let ask = async || server.post(checker.credentials(), "/introspect", &form).await;
        let answer = patiently!(ask().await, Answer::is_put_off).unwrap();
        assert_eq!((answer.status, answer.json()["active"].as_bool()), (200, Some(active)));
    }
}
