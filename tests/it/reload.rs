//! A reload replaces the clients as a whole (V-25): what was taken away stops working at once, in every operation.

use crate::support::{Auth, Issue, TestServer, Wire, auth::secret_of, error, server::CLIENTS};

/// `CLIENTS` with one member changed in the table of one client.
fn with(client_id: &str, from: &str, to: &str) -> String {
    let table = CLIENTS.find(&format!("client_id = \"{client_id}\"")).unwrap();
    let (before, after) = CLIENTS.split_at(table);
    assert!(after.contains(from), "{from}");
    format!("{before}{}", after.replacen(from, to, 1))
}

/// `CLIENTS` without one client.
fn without(client_id: &str) -> String {
    let (limits, clients) = CLIENTS.split_once("[[clients]]").unwrap();
    let kept: Vec<&str> = clients
        .split("[[clients]]")
        .filter(|table| !table.contains(&format!("client_id = \"{client_id}\"")))
        .collect();
    format!("{limits}[[clients]]{}", kept.join("[[clients]]"))
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_or_removed_client_loses_everything_at_once() {
    for toml in [with("es256", "\n\n", "\nenabled = false\n\n"), without("es256")] {
        let server = TestServer::start().await;
        let wires = Wire::both(&server).await;
        let mut tokens = Vec::new();
        for wire in &wires {
            let token = wire.token("es256").await;
            assert!(wire.is_active(&token).await);
            assert!(wire.userinfo(Some(&token)).await.is_ok());
            tokens.push(token);
        }
        server.reload(&toml).await.unwrap();
        for wire in &wires {
            for auth in [Auth::of("es256"), Auth::post("es256")] {
                assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client", "{wire:?}");
                assert_eq!(error(wire.introspect(&auth, &tokens[0]).await), "invalid_client", "{wire:?}");
            }
            for token in &tokens {
                assert!(!wire.is_active(token).await, "{wire:?}");
                assert_eq!(error(wire.userinfo(Some(token)).await), "invalid_token", "{wire:?}");
            }
            // Nobody else notices.
            assert!(wire.is_active(&wire.token("rs256").await).await);
        }
        // Enabled again, it has its tokens again: they were never revoked.
        server.reload(CLIENTS).await.unwrap();
        for wire in &wires {
            assert!(wire.is_active(&tokens[0]).await);
        }
    }
}

// V-25: also when the old secret was verified a moment ago and remembered
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_secret_is_refused() {
    let fresh = "mint_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg";
    for (client_id, new) in
        [("es256", "another-secret"), ("es256", fresh), ("generated", fresh), ("generated", "x")]
    {
        let server = TestServer::start().await;
        let old = secret_of(client_id);
        let wires = Wire::both(&server).await;
        let token = wires[0].token(client_id).await;
        server.reload(&with(client_id, &format!("\"{old}\""), &format!("\"{new}\""))).await.unwrap();
        for wire in &wires {
            for auth in [Auth::of(client_id), Auth::post(client_id)] {
                let outcome = wire.issue(&auth, &Issue::default()).await;
                assert_eq!(error(outcome), "invalid_client", "{wire:?} {client_id}");
            }
            wire.granted(&Auth::basic(client_id, new), &Issue::default()).await;
            // The client is the same one: its tokens stay.
            assert!(wire.is_active(&token).await);
        }
    }
}

// What a client may do is what it is registered for now.
#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_those_of_the_new_registration() {
    let server = TestServer::start().await;
    let wires = Wire::both(&server).await;
    let token = wires[0].token("rs256").await;
    server.reload(&with("es256", "\"read write\"", "\"read\"")).await.unwrap();
    for wire in &wires {
        let outcome = wire.issue(&Auth::of("es256"), &Issue::scope("write")).await;
        assert_eq!(error(outcome), "invalid_scope", "{wire:?}");
    }
    server.reload(&with("resource-server", "\"any\"", "\"own\"")).await.unwrap();
    for wire in &wires {
        assert!(!wire.is_active(&token).await, "{wire:?}");
        assert_eq!(wire.introspect(&Auth::of("rs256"), &token).await.unwrap()["active"], true);
    }
}

// F-30: refused whole, the old clients stay
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_changes_nothing() {
    let server = TestServer::start().await;
    let wires = Wire::both(&server).await;
    let half = with("es256", "\n\n", "\nenabled = false\n\n");
    for broken in [
        format!("{half}\nunknown = 1"),
        half.replacen("\"secret-of-rs256\"", "\"\"", 1),
        half.replacen("\"es384\"", "\"rs256\"", 1),
        half[..half.len() - 10].to_owned(),
    ] {
        assert!(server.reload(&broken).await.is_err());
        for wire in &wires {
            assert!(wire.is_active(&wire.token("es256").await).await, "{wire:?}");
        }
    }
}
