//! `mintage migrate`, as a person or a deployment runs it.

use std::process::Command;

use mintage::store::LATEST;

use super::*;

/// Exit code, standard output and standard error.
fn migrate(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintage"));
    command.env_clear().env("ISSUER_URL", "https://id.example").env("MINTAGE_DATABASE_URL", &database.url);
    command.env("MINTAGE_MASTER_KEY", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=");
    let output = command.arg("migrate").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_check_changes_nothing_and_a_migration_is_done_once() {
    on_each_shared(async |database| {
        let location = database.location();
        let pending = format!(
            "error: {location}: has schema version 0 and needs {LATEST}; run `mintage migrate`, or start the server\n"
        );
        for _ in 0..2 {
            assert_eq!(migrate(&database, &["--check"]), (1, String::new(), pending.clone()));
        }
        assert!(database.directory.is_none() || !database.path().exists());
        let done = format!("ok: {location} went from schema version 0 to {LATEST}\n");
        assert_eq!(migrate(&database, &[]), (0, done, String::new()));
        let is_done = format!("ok: {location} has schema version {LATEST}\n");
        for arguments in [&[][..], &["--check"]] {
            assert_eq!(migrate(&database, arguments), (0, is_done.clone(), String::new()));
        }
        let json = migrate(&database, &["--check", "--output", "json"]);
        let expected =
            format!("{{\"database\":\"{location}\",\"from_version\":{LATEST},\"ok\":true,\"version\":{LATEST}}}\n");
        assert_eq!(json, (0, expected, String::new()));

        database.sql(&format!("INSERT INTO schema_version (version) VALUES ({})", LATEST + 1));
        for arguments in [&[][..], &["--check"]] {
            let (code, _, error) = migrate(&database, arguments);
            assert!(code == 1 && error.contains("use a mintage that is at least as new"), "{error}");
            assert!(!error.contains("a-password"), "{error}"); // V-71
        }
    })
    .await;
}
