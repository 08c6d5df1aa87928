//! The log of the real binary at its most talkative: no secret and no token in it, one record per line (V-71, V-72).

mod stalled;

use base64::engine::{
    Engine,
    general_purpose::{STANDARD, URL_SAFE},
};
use mintage::grpc::pb::token::{self as pb, token_service_client::TokenServiceClient};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Request, transport::Channel};

use crate::support::{
    auth::basic,
    forge::b64,
    http::{FORM, Reply, exchange, request},
    process::Process,
};

// None of these words or their first eight characters occurs by itself.
const SECRET: &str = "Q7zcanary-chosen+secret/Kx9%";
const GENERATED: &str = "mint_W4vcanaryGeneratedSecret0123456789abcdefghij0";
const WRONG: &str = "J3ycanary-wrong-secret-Lm2";
const SIGNING: &str = "H8wcanary-hs256-signing-key-of-32-bytes-or-more";
const GARBAGE: &str = "N5bcanary-garbage.token-that-is.no-token-Rt6";
const MISPLACED: &str = "V2kcanary-secret-in-a-wrong-place-Pd4";

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const GRANT: &str = "grant_type=client_credentials";

fn config() -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    format!(
        "[limits]\nfailed_auth_rate = \"off\"\n\n[reflection]\nenabled = true\n\n\
         [[clients]]\nclient_id = \"canary\"\nclient_secret = {}\nscope = \"read\"\n\n\
         [[clients]]\nclient_id = \"generated\"\nclient_secret = {}\naccess_token_signing_alg = \"ES256\"\n\n\
         [[clients]]\nclient_id = \"hs256\"\nclient_secret = {}\naccess_token_signing_alg = \"HS256\"\n",
        quoted(SECRET),
        quoted(GENERATED),
        quoted(SECRET)
    )
}

async fn start(format: &str) -> Process {
    let script = format!(
        "export MINTAGE_LOG=trace MINTAGE_LOG_FORMAT={format} JWT_SECRET={SIGNING} RUST_BACKTRACE=1; exec \"$@\""
    );
    Process::start_through(&config(), &script).await
}

/// Sends requests with a number each and remembers how many.
struct Driver {
    process: Process,
    sent: usize,
}

impl Driver {
    async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.sent += 1;
        let id = format!("drive-{}", self.sent);
        let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
        let headers = [headers, &[("x-request-id", &id), ("traceparent", &traceparent)]].concat();
        let bytes = request(self.process.address, method, target, &headers, body.as_bytes());
        exchange(self.process.address, &bytes).await
    }

    async fn post(&mut self, target: &str, authorization: Option<&str>, form: &str) -> Reply {
        let mut headers = vec![FORM];
        headers.extend(authorization.map(|value| ("authorization", value)));
        self.send("POST", target, &headers, form).await
    }

    /// Every way through REST, with canaries wherever a caller could put them. Returns the tokens that were issued.
    async fn drive_rest(&mut self) -> Vec<String> {
        let (good, wrong) = (basic("canary", SECRET), basic("canary", WRONG));
        let mut tokens = Vec::new();
        for authorization in [&good, &basic("generated", GENERATED), &basic("hs256", SECRET)] {
            let reply = self.post("/token", Some(authorization), GRANT).await;
            tokens.push(reply.json()["access_token"].as_str().unwrap().to_owned());
        }
        let encoded = percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC);
        let by_form = format!("{GRANT}&client_id=canary&client_secret={encoded}");
        let reply = self.post("/token", None, &by_form).await;
        tokens.push(reply.json()["access_token"].as_str().unwrap().to_owned());
        let token = tokens[0].clone();
        let bearer = format!("Bearer {token}");

        for (target, authorization, form) in [
            ("/token", Some(&wrong), GRANT.to_owned()),
            ("/token", Some(&good), format!("{GRANT}&scope={MISPLACED}")),
            ("/token", Some(&good), format!("{GRANT}&resource={MISPLACED}")),
            ("/token", Some(&good), format!("{GRANT}&client_secret={MISPLACED}")),
            ("/token", Some(&good), format!("grant_type={MISPLACED}")),
            ("/token", Some(&good), format!("{MISPLACED}={MISPLACED}&{MISPLACED}={MISPLACED}")),
            ("/token", None, format!("{GRANT}&client_id={MISPLACED}%0d%0a&client_secret={WRONG}")),
            ("/token", None, format!("{GRANT}&client_assertion={MISPLACED}")),
            ("/token", Some(&bearer), GRANT.to_owned()),
            ("/introspect", Some(&good), format!("token={token}")),
            ("/introspect", Some(&good), format!("token={GARBAGE}")),
            ("/introspect", Some(&good), format!("token={token}x")),
            ("/introspect", Some(&wrong), format!("token={token}")),
            ("/introspect", Some(&good), format!("token={token}&token={token}")),
            ("/revoke", Some(&good), format!("token={GARBAGE}")),
            ("/revoke", Some(&wrong), format!("token={token}")),
            ("/revoke", Some(&good), format!("token={token}&token={token}")),
            ("/userinfo", Some(&bearer), String::new()),
            ("/userinfo", Some(&format!("Bearer {GARBAGE}")), String::new()),
            ("/userinfo", None, format!("access_token={token}")),
            ("/userinfo", Some(&bearer), format!("access_token={token}")),
            (&format!("/userinfo?access_token={token}"), None, String::new()),
            (&format!("/token?client_secret={SECRET}&x={MISPLACED}"), None, GRANT.to_owned()),
            (&format!("/{MISPLACED}/{token}?{token}"), None, String::new()),
            ("/token", Some(&format!("Basic {MISPLACED}")), GRANT.to_owned()),
            ("/token", Some(&format!("{MISPLACED} {MISPLACED}")), GRANT.to_owned()),
            ("/token", Some(&good), format!("{MISPLACED}{}", "x".repeat(65 * 1024))),
        ] {
            self.post(target, authorization.map(String::as_str), &form).await;
        }
        let json = [("content-type", "application/json"), ("cookie", MISPLACED), ("x-api-key", SECRET)];
        self.send("POST", "/token", &json, &format!("{{\"client_secret\":\"{SECRET}\"}}")).await;
        self.send(
            "GET",
            "/.well-known/jwks.json",
            &[("if-none-match", MISPLACED), ("origin", MISPLACED)],
            "",
        )
        .await;
        self.send(MISPLACED, "/token", &[], "").await;
        tokens
    }

    /// The same over gRPC.
    async fn drive_grpc(&mut self) -> Vec<String> {
        let url = format!("http://{}", self.process.address);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let mut grpc = TokenServiceClient::new(channel);
        let secret =
            |secret: &str| pb::ClientSecret { client_id: "canary".into(), client_secret: secret.into() };
        let mut tokens = Vec::new();
        for value in [SECRET, WRONG] {
            let secret = pb::issue_request::ClientAuthentication::ClientSecret(secret(value));
            let message = pb::IssueRequest { client_authentication: Some(secret), ..Default::default() };
            let response = grpc.issue(self.numbered(message, None)).await;
            tokens.extend(response.map(|response| response.into_inner().access_token));
            let basic = basic("canary", value);
            let message = pb::IssueRequest { scopes: vec![MISPLACED.into()], ..Default::default() };
            let _ = grpc.issue(self.numbered(message, Some(&basic))).await;
            for token in [&tokens[0], GARBAGE] {
                let message = pb::IntrospectRequest { token: token.into(), ..Default::default() };
                let _ = grpc.introspect(self.numbered(message.clone(), Some(&basic))).await;
                let batch = pb::BatchIntrospectRequest { requests: vec![message], ..Default::default() };
                let _ = grpc.batch_introspect(self.numbered(batch, Some(&basic))).await;
                let message = pb::RevokeRequest { token: format!("{token}x"), ..Default::default() };
                let _ = grpc.revoke(self.numbered(message, Some(&basic))).await;
                let message = pb::UserInfoRequest { access_token: token.into() };
                let _ = grpc.user_info(self.numbered(message, None)).await;
                let bearer = format!("Bearer {token}");
                let _ = grpc.user_info(self.numbered(pb::UserInfoRequest::default(), Some(&bearer))).await;
            }
        }
        tokens
    }

    fn numbered<T>(&mut self, message: T, authorization: Option<&str>) -> Request<T> {
        self.sent += 1;
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("x-request-id", format!("drive-{}", self.sent).parse().unwrap());
        metadata.insert("traceparent", format!("00-{TRACE_ID}-00f067aa0ba902b7-01").parse().unwrap());
        metadata.insert("x-api-key", MISPLACED.parse().unwrap());
        if let Some(value) = authorization {
            metadata.insert("authorization", value.parse().unwrap());
        }
        request
    }

    /// Requests that hyper and h2 refuse before any handler sees them, and may want to tell why.
    async fn drive_malformed(&self) {
        let address = self.process.address;
        for bytes in [
            format!("POST /token HTTP/1.1\r\nhost: a\r\n{MISPLACED} : {MISPLACED}\r\n\r\n"),
            format!("{MISPLACED} {MISPLACED}\r\n\r\n"),
            format!("GET /\u{7f}{MISPLACED} HTTP/1.1\r\nhost: a\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {MISPLACED}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nhost: a\r\nauthorization: {MISPLACED}\u{1}\r\n\r\n"),
        ] {
            exchange(address, bytes.as_bytes()).await;
        }
        let path = format!("/<{MISPLACED}>?access_token={GARBAGE}");
        for (pseudo, value) in
            [(":path", path.as_str()), (":authority", &format!("<{MISPLACED}>")), (":scheme", MISPLACED)]
        {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&malformed_http2(pseudo, value)).await.unwrap();
            let mut answer = Vec::new();
            let mut buffer = [0; 4096];
            // The stream is reset; frames come until then.
            while !answer.windows(4).any(|window| window[3] == 3) {
                match stream.read(&mut buffer).await {
                    Ok(length) if length > 0 => answer.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
        }
    }
}

/// A connection preface and one HEADERS frame, in which one pseudo-header has a value that no library would send.
fn malformed_http2(pseudo: &str, value: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, ordinary) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
        ("authorization", MISPLACED),
    ] {
        let value = if name == pseudo { value } else { ordinary };
        assert!(value.len() < 127);
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let length = u32::try_from(block.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], 1, 0x05, 0, 0, 0, 1];
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &head, &block].concat()
}

/// What must not appear: the text itself, its encodings, and the first eight characters of each.
fn forms(canary: &str) -> Vec<String> {
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent =
        percent_encoding::utf8_percent_encode(canary, percent_encoding::NON_ALPHANUMERIC).to_string();
    let debug: String = canary.bytes().map(|byte| format!("{byte}, ")).collect();
    let whole = [canary.to_owned(), STANDARD.encode(canary), URL_SAFE.encode(canary), b64(canary), percent];
    let mut forms: Vec<String> = whole.iter().map(|form| form[..8.min(form.len())].to_owned()).collect();
    forms.extend(whole.iter().map(|form| form[form.len() - 8..].to_owned()));
    // Two hexadecimal digits, or a number and a comma, are less than a character.
    forms.extend([hex[..16].to_owned(), hex[..16].to_uppercase(), debug[..debug.len().min(30)].to_owned()]);
    forms
}

/// The parts of a token that belong to it alone.
fn token_forms(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let (payload, signature) = (parts[1], parts[2]);
    // The payload begins with the issuer, which the log may name.
    let middle = payload.len() / 2;
    vec![
        payload[middle..middle + 16].to_owned(),
        signature[..8].to_owned(),
        signature[signature.len() - 8..].to_owned(),
    ]
}

// V-71
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_token_is_written_anywhere() {
    for format in ["json", "text"] {
        let mut driver = Driver { process: start(format).await, sent: 0 };
        let mut tokens = driver.drive_rest().await;
        tokens.extend(driver.drive_grpc().await);
        driver.drive_malformed().await;
        assert_eq!(tokens.len(), 5);
        let ops = driver.process.ops;
        let metrics = exchange(ops, &request(ops, "GET", "/metrics", &[], b"")).await;
        assert!(metrics.status == 200 && metrics.text().contains("mintage_requests_total"));
        let sent = driver.sent;
        let mut process = driver.process;
        process.signal("TERM");
        assert!(process.ended().await.success());

        let log = process.stderr();
        assert!(
            log.contains("DEBUG") && log.contains("WrongCredentials"),
            "the log is at its most talkative"
        );
        let written = format!("{log}\n{}\n{}", process.stdout(), metrics.text());
        let basics = [basic("canary", SECRET), basic("canary", WRONG), basic("generated", GENERATED)];
        // `mint_` is no secret; what follows is.
        let canaries = [SECRET, &GENERATED[5..], WRONG, SIGNING, GARBAGE, MISPLACED].into_iter();
        let forms: Vec<String> = canaries
            .flat_map(forms)
            .chain(tokens.iter().flat_map(|token| token_forms(token)))
            .chain(basics.iter().map(|basic| basic[basic.len() - 12..].to_owned()))
            .chain(["canary-".to_owned(), "BEGIN PRIVATE KEY".to_owned()])
            .collect();
        for line in written.lines() {
            for form in &forms {
                assert!(!line.contains(form.as_str()), "{form:?} is in: {line}");
            }
        }
        check_request_lines(&log, format, sent);
    }
}

/// One line per request, with its id and its trace, and nothing that is no record.
fn check_request_lines(log: &str, format: &str, sent: usize) {
    let requests: Vec<&str> =
        log.lines().filter(|line| line.contains("mintage::request") && line.contains("drive-")).collect();
    assert_eq!(requests.len(), sent, "one line per request");
    for n in 1..=sent {
        let (json, text) = (format!("\"request_id\":\"drive-{n}\""), format!("request_id=\"drive-{n}\""));
        let of_this: Vec<_> =
            requests.iter().filter(|line| line.contains(&json) || line.contains(&text)).collect();
        let [line] = of_this[..] else { panic!("drive-{n}: {of_this:?}") };
        assert!(line.contains(TRACE_ID), "{line}");
    }
    for line in log.lines() {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        if format == "json" {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}"));
            assert!(record["level"].is_string());
        } else {
            let year = line.as_bytes().first_chunk::<4>().unwrap_or_else(|| panic!("no record: {line}"));
            assert!(year.iter().all(u8::is_ascii_digit), "no record: {line}");
        }
    }
}

// V-72
#[tokio::test(flavor = "multi_thread")]
async fn a_client_id_cannot_forge_a_record() {
    let forged = [
        "x\r\n2026-01-01T00:00:00Z INFO mintage::request: forged",
        "x\n{\"level\":\"INFO\",\"target\":\"mintage::request\",\"request_id\":\"forged\"}",
        "\u{1b}[2J\u{1b}[31mforged",
        "{\"forged\":true}",
        "x\", \"outcome\":\"ok\", \"forged\":\"",
        "x outcome=ok forged=1",
        "forged\\",
        "\u{85}forged\u{2028}forged\u{202e}",
    ];
    for format in ["json", "text"] {
        let mut driver = Driver { process: start(format).await, sent: 0 };
        for client_id in forged {
            let reply = driver.post("/token", Some(&basic(client_id, WRONG)), GRANT).await;
            assert_eq!(reply.status, 401);
        }
        let sent = driver.sent;
        let mut process = driver.process;
        process.signal("TERM");
        assert!(process.ended().await.success());
        let log = process.stderr();
        check_request_lines(&log, format, sent);
        for line in log.lines().filter(|line| line.contains("mintage::request")) {
            if format == "json" {
                let record: Value = serde_json::from_str(line).unwrap();
                assert!(record.get("forged").is_none() && record["request_id"] != "forged", "{line}");
                if record["request_id"].as_str().unwrap().starts_with("drive-") {
                    assert_eq!(record["outcome"], "refused", "{line}");
                }
            }
        }
    }
}
