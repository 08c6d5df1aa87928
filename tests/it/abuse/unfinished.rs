//! Requests that begin and do not end: what is kept of them is bounded, and nobody else is refused for it.

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::Request;
use tokio::net::TcpStream;

use super::{MIB, Target};

/// How many connections there are, and how many requests on each.
const CONNECTIONS: usize = 40;
const REQUESTS: usize = 120;

/// Holds a request open.
type Held = (ResponseFuture, SendStream<Bytes>);

/// Begins requests on connections of HTTP/2 and sends these bytes of each body; returns them with the connections.
async fn begin(target: &Target, request: impl Fn() -> Request<()>, body: Bytes) -> Vec<Held> {
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(target.address()).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        for _ in 0..REQUESTS {
            // It may end the connection instead.
            let Ok(mut client) = client.clone().ready().await else { break };
            let Ok((response, mut stream)) = client.send_request(request(), false) else { break };
            let _ = stream.send_data(body.clone(), false);
            held.push((response, stream));
        }
    }
    held
}

/// How many of them were answered, each with 503 or RESOURCE_EXHAUSTED, or OUT_OF_RANGE for a length that no message has.
async fn refused(held: Vec<Held>) -> usize {
    let mut count = 0;
    for (mut response, _stream) in held {
        let answer = tokio::select! {
            biased;
            answer = &mut response => answer,
            () = std::future::ready(()) => continue,
        };
        let Ok(answer) = answer else { continue };
        let status = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        let is_refused = answer.status() == 503 || matches!(status.as_deref(), Some("8" | "11"));
        assert!(is_refused, "{answer:?}");
        let _: RecvStream = answer.into_body();
        count += 1;
    }
    count
}

// F-25, V-60
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unfinished_is_bounded() {
    let form = || {
        let request = Request::post("http://a/token");
        request.header("content-type", "application/x-www-form-urlencoded").body(()).unwrap()
    };
    let grpc = |path: &'static str| {
        move || {
            let request = Request::post(format!("http://a{path}")).header("content-type", "application/grpc");
            request.header("te", "trailers").body(()).unwrap()
        }
    };
    let fields = || {
        let mut request = form();
        for n in 0..300 {
            request.headers_mut().append("x", http::HeaderValue::from(n % 10));
        }
        request
    };
    let issue = grpc("/mintage.token.v1.TokenService/Issue");
    let health = grpc("/grpc.health.v1.Health/Check");
    // Each would take 170 MiB or more.
    for (name, held) in [
        ("bodies", begin_at(form, vec![b'a'; 30_000]).await),
        ("messages", begin_at(issue, [&[0, 0, 0, 0xff, 0][..], &[10; 30_000]].concat()).await),
        ("lengths", begin_at(grpc("/mintage.token.v1.TokenService/Issue"), vec![0, 0, 0, 0xff, 0]).await),
        ("lengths of health", begin_at(health, vec![0, 0, 0x3d, 9, 0]).await),
        ("fields", begin_at(fields, vec![b'a']).await),
    ] {
        let (mut target, refused) = held;
        println!("{name}: {refused} refused, {} MiB at worst", target.peak() / MIB);
        assert!(target.peak() < 80 * MIB, "{name}: {} MiB", target.peak() / MIB);
        target.is_well(80 * MIB).await;
    }
}

/// The same on a server of its own; returns it, and how many requests were refused meanwhile.
async fn begin_at(request: impl Fn() -> Request<()>, body: Vec<u8>) -> (Target, usize) {
    let target = Target::start().await;
    let held = begin(&target, request, body.into()).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let refused = refused(held).await;
    (target, refused)
}
