//! Everything in one file, from one database to another.

use std::{fs, os::unix::fs::PermissionsExt};

use mintage::{
    clock::Timestamp,
    oauth::store::{ClientQuery, ClientRecord, State},
    store::{Location, Options, Store},
};

use super::host::{Host, Registered, SECRET};
use crate::support::postgres::Postgres;

const MASTER_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const OTHER: &str = "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=";

/// Everything a store holds.
#[derive(Debug, PartialEq)]
struct Rows {
    clients: Vec<ClientRecord>,
    values: Vec<(String, Vec<u8>)>,
    state: State,
}

impl Rows {
    async fn of(url: &str) -> Self {
        let store = Store::open(&Location::parse(url).unwrap(), Options::default()).await.unwrap();
        let stores = store.stores();
        let mut query = ClientQuery { limit: 100, ..ClientQuery::default() };
        let mut clients: Vec<ClientRecord> = Vec::new();
        loop {
            let page = stores.clients.list(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            query.after = Some((last.client_id.clone(), last.created_at));
            clients.extend(page);
        }
        let values = stores.keys.sealed_values().await.unwrap();
        let mut state = stores.changes.state(Timestamp::from_seconds(0)).await.unwrap();
        // Another history by intention.
        state.incarnation.clear();
        state.sequence = 0;
        Self { clients, values, state }
    }

    fn is_empty(&self) -> bool {
        self.clients.is_empty()
            && self.values.is_empty()
            && self.state.keys.is_empty()
            && self.state.revocations.is_empty()
    }
}

fn new_postgres() -> Host {
    Host::on(&Postgres::shared().new_database()).with("MINTAGE_MASTER_KEY", MASTER_KEY)
}

fn old_host() -> Host {
    Host::sqlite().with("MINTAGE_MASTER_KEY", MASTER_KEY)
}

/// An archive of a few clients, a revocation and the keys.
async fn archive(host: &Host) -> Vec<u8> {
    let server = host.start().await;
    let token = server.operator_token().await;
    let mut admin = server.admin(&token).await;
    for n in 0..3 {
        admin.created(&format!("c{n}")).await;
    }
    server.revoked(&token).await;
    drop(server);
    host.run(&["export", "old.archive"]).done();
    fs::read(host.path("old.archive")).unwrap()
}

// F-32
#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_from_sqlite_to_postgresql() {
    let old = old_host();
    let server = old.start().await;
    let live = server.operator_token().await;
    let mut admin = server.admin(&live).await;
    let mut clients: Vec<Registered> = Vec::new();
    for n in 0..120 {
        clients.push(admin.created(&format!("c{n}")).await);
    }
    let mut revoked = Vec::new();
    for _ in 0..30 {
        let token = server.token(clients[0].credentials()).await;
        server.revoked_by(clients[0].credentials(), &token).await;
        revoked.push(token);
    }
    let kids = server.kids().await;

    // The old server is read meanwhile.
    let (exported, answers) =
        tokio::join!(async { tokio::task::block_in_place(|| old.run(&["export", "old.archive"])) }, async {
            for _ in 0..50 {
                assert!(server.is_active(&live).await);
            }
            50
        });
    println!("{answers} answers beside: {}", exported.done());
    assert!(exported.stdout.contains("exported 120 clients, ") && exported.stdout.contains("30 revocations"));
    let file = old.path("old.archive");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("c119") && !text.contains(&clients[0].secret) && !text.contains("hmac"));
    // Nothing is overwritten.
    old.run(&["export", "old.archive"]).failed("exists already");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    let new = new_postgres();
    let imported = new.run(&["import", file.to_str().unwrap()]);
    assert!(imported.done().contains("imported 120 clients, "), "{imported:?}");
    let rows = Rows::of(new.database_url()).await;
    assert_eq!(rows, Rows::of(old.database_url()).await);
    assert_eq!((rows.clients.len(), rows.state.revocations.len()), (120, 30));

    let moved = new.start().await;
    assert_eq!(moved.kids().await, kids);
    assert!(moved.is_active(&live).await);
    for token in &revoked {
        assert!(!moved.is_active(token).await);
    }
    for client in &clients {
        moved.token(client.credentials()).await;
    }
    let client = moved.admin(&live).await.created("later").await;
    moved.token(client.credentials()).await;

    // What is in use is not filled.
    let before = Rows::of(new.database_url()).await;
    new.run(&["import", file.to_str().unwrap()]).failed("not empty");
    assert_eq!(Rows::of(new.database_url()).await, before);
}

// F-32
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_refused_whole() {
    let old = old_host();
    let archive = archive(&old).await;
    let lines: Vec<&[u8]> = archive.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 4);
    let another = {
        let host = old_host();
        self::archive(&host).await
    };
    let others: Vec<&[u8]> = another.split_inclusive(|byte| *byte == b'\n').collect();
    let flipped = |at: usize| {
        let mut bytes = archive.clone();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        bytes
    };
    let first = lines[0].len();

    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "no archive"),
        ("something else", b"PK\x03\x04 and so on\n".to_vec(), "no archive"),
        ("another version", b"{\"mintage_archive\":2,\"id\":\"x\"}\n".to_vec(), "no archive"),
        ("a header alone", lines[0].to_vec(), "not complete"),
        ("the last line missing", lines[..3].concat(), "not complete"),
        ("cut within the last line", archive[..archive.len() - 5].to_vec(), "not complete"),
        ("without the last line's end", archive[..archive.len() - 1].to_vec(), "not complete"),
        ("a line missing", [lines[0], lines[2], lines[3]].concat(), "damaged"),
        ("lines exchanged", [lines[0], lines[2], lines[1], lines[3]].concat(), "damaged"),
        ("a line repeated", [lines[0], lines[1], lines[1], lines[2], lines[3]].concat(), "damaged"),
        ("a line of another archive", [lines[0], others[1], lines[2], lines[3]].concat(), "damaged"),
        ("the header of another archive", [others[0], lines[1], lines[2], lines[3]].concat(), "damaged"),
        ("a byte of the clients", flipped(first + 80), "damaged"),
        ("a byte of the keys", flipped(first + lines[1].len() + 80), "damaged"),
        ("a byte of the end", flipped(archive.len() - 10), "damaged"),
        (
            "a byte that is no base64",
            [&archive[..first + 50], b"!", &archive[first + 51..]].concat(),
            "no archive",
        ),
        ("more after the end", [&archive[..], lines[3]].concat(), "damaged"),
    ];
    let new = Host::sqlite().with("MINTAGE_MASTER_KEY", MASTER_KEY);
    for (what, bytes, sentence) in cases {
        println!("{what}");
        fs::write(new.path("in.archive"), bytes).unwrap();
        new.run(&["import", "in.archive"]).failed(sentence);
        assert!(Rows::of(new.database_url()).await.is_empty(), "{what}");
    }
    new.run(&["import", "missing.archive"]).failed("missing.archive");

    // Sealed under a master key that this host does not have.
    let stranger = Host::sqlite().with("MINTAGE_MASTER_KEY", OTHER);
    fs::write(stranger.path("in.archive"), &archive).unwrap();
    stranger.run(&["import", "in.archive"]).failed("another master key");
    assert!(Rows::of(stranger.database_url()).await.is_empty());
    // It may have both: then the server opens what was imported.
    let both = Host::sqlite().with("MINTAGE_MASTER_KEY", &format!("{OTHER},{MASTER_KEY}"));
    fs::write(both.path("in.archive"), &archive).unwrap();
    both.run(&["import", "in.archive"]).done();
    both.start().await;
}

// F-32
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_broke_off_is_repeated() {
    let old = old_host();
    let archive = archive(&old).await;
    let new = new_postgres();
    fs::write(new.path("in.archive"), &archive).unwrap();
    // As the first chunk leaves it.
    let rows = Rows::of(old.database_url()).await;
    let store = Store::open(&Location::parse(new.database_url()).unwrap(), Options::default()).await.unwrap();
    mintage::oauth::store::TransferStore::import_clients(&*store, &rows.clients[..2]).await.unwrap();
    new.run(&["import", "in.archive"]).done();
    assert_eq!(Rows::of(new.database_url()).await, rows);
    new.start().await.token(("operator", SECRET)).await;
}

/// A store that has a client and no server yet is in use as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_client_of_its_own_is_not_filled() {
    let old = old_host();
    let archive = archive(&old).await;
    for client_id in ["c1", "somebody-else"] {
        let new = Host::sqlite().with("MINTAGE_MASTER_KEY", MASTER_KEY);
        fs::write(new.path("in.archive"), &archive).unwrap();
        new.run(&["client", "create", "--client-id", client_id, "--scope", "read"]).done();
        let before = Rows::of(new.database_url()).await;
        new.run(&["import", "in.archive"]).failed("not empty");
        assert_eq!(Rows::of(new.database_url()).await, before);
    }
}

#[test]
fn a_database_that_is_not_there_is_not_made_to_be_copied() {
    let host = Host::sqlite();
    for command in ["export", "backup"] {
        host.run(&[command, "copy"]).failed("there is no such database");
        assert!(!host.path("mintage.db").exists() && !host.path("copy").exists());
    }
}
