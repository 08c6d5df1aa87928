//! A start while the database is down (F-6): from the snapshot, or not at all and with a sentence that says why.

use super::*;
use crate::support::proxy::Proxy;

struct Snapshot {
    directory: tempfile::TempDir,
    database: String,
}

impl Snapshot {
    fn new() -> Self {
        let database = Postgres::new_name();
        Postgres::shared().url(&database);
        Self { directory: tempfile::tempdir().unwrap(), database }
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("snapshot")
    }

    fn settings(&self) -> String {
        format!("[store]\npoll_interval = \"100ms\"\nsnapshot_file = \"{}\"", self.file().display())
    }

    async fn start(&self) -> Replica {
        let mut replica = Replica::spawn(Postgres::shared(), &self.database, &self.settings()).await;
        replica.process.ready().await;
        replica
    }
}

/// Ends it in an orderly way.
async fn end(replica: &mut Replica) {
    replica.process.signal("TERM");
    assert!(replica.process.ended().await.success());
}

// F-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_starts_from_its_snapshot_and_follows_again() {
    let snapshot = Snapshot::new();
    let mut replica = snapshot.start().await;
    let (known, stranger) = (replica.create("known").await, replica.create("stranger").await);
    let (token, revoked) = (replica.token(&known).await, replica.token(&known).await);
    replica.revoked(&known, &revoked).await;
    end(&mut replica).await;
    // What a later start begins with is as good as the one before, though nobody asked it for anything.
    replica.respawn(Postgres::shared(), &snapshot.database, &snapshot.settings());
    replica.process.ready().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    replica.process.signal("KILL");
    replica.process.ended().await;

    for mode in [Mode::Refuse, Mode::Blackhole] {
        replica.proxy.set(mode);
        replica.proxy.cut();
        let begun = Instant::now();
        replica.respawn(Postgres::shared(), &snapshot.database, &snapshot.settings());
        replica.process.ready().await;
        println!("{mode:?}: ready {:.1?} after the start", begun.elapsed());
        assert_eq!(replica.issue(&known).await.status, 200);
        assert_eq!(replica.issue(&Known::configured("configured")).await.status, 200);
        assert!(replica.issue(&stranger).await.is_unavailable());
        assert!(replica.revoke(&known, &token).await.is_unavailable());
        // As old as the snapshot is: answered within the bound, refused beyond, and never wrong.
        let answer = replica.introspect(&token).await;
        assert!(answer.active() == Some(true) || answer.is_unavailable(), "{answer:?}");
        let answer = replica.introspect(&revoked).await;
        assert!(answer.active() == Some(false) || answer.is_unavailable(), "{answer:?}");
        let log = replica.process.stderr();
        assert!(log.contains("starts from its snapshot"), "{log}");
        if mode == Mode::Refuse {
            // Without the store the snapshot stays what it was.
            end(&mut replica).await;
        }
    }
    replica.proxy.set(Mode::Pass);
    println!("follows again after {:.1?}", replica.heals(&known).await);
    replica.token(&stranger).await;
    assert_eq!(replica.introspect(&token).await.active(), Some(true));
    assert_eq!(replica.introspect(&revoked).await.active(), Some(false));
    replica.revoked(&known, &token).await;
    assert_eq!(replica.introspect(&token).await.active(), Some(false));
    // Sealed: nothing of it can be read.
    let bytes = std::fs::read(snapshot.file()).unwrap();
    for text in ["known", "PRIVATE", "incarnation", "argon2", "hmac"] {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

// F-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_snapshot_the_start_is_refused_in_a_sentence() {
    let snapshot = Snapshot::new();
    let refused = |settings: String| {
        let database = &snapshot.database;
        async move {
            let proxy = Proxy::start(Postgres::shared().port()).await;
            proxy.set(Mode::Refuse);
            let mut replica = Replica::behind(proxy, Postgres::shared(), database, &settings);
            let code = replica.process.ended().await.code();
            let log = replica.process.stderr();
            let errors: Vec<_> = log.lines().filter(|line| line.starts_with("error: ")).collect();
            assert_eq!((code, errors.len()), (Some(1), 1), "{log}");
            errors[0].to_owned()
        }
    };
    let error = refused(String::new()).await;
    println!("{error}");
    assert!(error.contains("start the database, or set store.snapshot_file"), "{error}");
    // One that was never written.
    let error = refused(snapshot.settings()).await;
    println!("{error}");
    assert!(error.contains("does not exist yet"), "{error}");
    // One that was tampered with.
    std::fs::write(snapshot.file(), b"not a snapshot").unwrap();
    std::fs::set_permissions(snapshot.file(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let error = refused(snapshot.settings()).await;
    println!("{error}");
    assert!(error.contains("cannot stand in"), "{error}");
}
