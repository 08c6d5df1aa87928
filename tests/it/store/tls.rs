//! TLS to PostgreSQL: verified, or not spoken.

use mintage::{
    oauth::store::{ChangeFeed, ClientStore},
    store::OpenError,
};

use super::*;

async fn open(url: &str, ca_file: Option<PathBuf>) -> Result<Arc<Store>, OpenError> {
    let options = Options { ca_file, ..Options::default() };
    Store::open(&Location::parse(url).unwrap(), options).await
}

#[tokio::test]
async fn the_certificate_must_be_right() {
    let postgres = Postgres::start_with_tls();
    let url = postgres.new_database();
    let name = url.rsplit_once('/').unwrap().1.to_owned();
    let by_name = url.replace("127.0.0.1", "localhost");

    for mode in ["require", "verify-full"] {
        let store = open(&format!("{by_name}?sslmode={mode}"), Some(Postgres::ca_file())).await.unwrap();
        let record = client(mode);
        store.stores().clients.create(&record, None).await.unwrap();
        assert_eq!(ClientStore::get(&*store, &record.client_id).await, Ok(Some(record)));
        // Also whoever listens.
        tokio::time::timeout(PATIENCE, store.hint()).await.unwrap();
        let encrypted = "SELECT COUNT(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE ssl AND application_name = 'mintage'";
        eventually("both connections are encrypted", async || {
            postgres.sql(&name, encrypted).parse::<u32>().unwrap() >= 2
        })
        .await;
    }

    for (url, ca_file) in [
        // Another name than in the certificate; an authority that the system does not know.
        (format!("{url}?sslmode=require"), Some(Postgres::ca_file())),
        (format!("{by_name}?sslmode=require"), None),
    ] {
        let error = open(&url, ca_file).await.unwrap_err();
        assert!(matches!(&error, OpenError::Unavailable(text) if text.contains("certificate")), "{error}");
    }
    // What has no TLS is not spoken to without.
    let plain = Postgres::shared().new_database();
    let error = open(&format!("{plain}?sslmode=require"), Some(Postgres::ca_file())).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unavailable(text) if text.contains("TLS")), "{error}");
}

#[tokio::test]
async fn a_ca_file_must_hold_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    for content in [
        None,
        Some(""),
        Some("nonsense"),
        Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = open("postgres://u@db.example/d", Some(path.clone())).await.unwrap_err().to_string();
        assert!(
            error.contains("ca.pem: ") && error.contains("database_ca_file must name a PEM file"),
            "{error}"
        );
    }
}
