//! A server of plain HTTP on loopback that answers as it is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Sends this.
    Whole(String),
    /// Sends a body without end, as fast as it is taken.
    Endless,
    /// Sends a body without end, a byte at a time.
    Drip,
    /// The same with header fields.
    DripHead,
    /// Says nothing.
    Silence,
    /// Waits for [`Server::release`].
    Held(Box<Answer>),
}

impl Answer {
    pub(super) fn ok(fields: &str, body: &str) -> Self {
        Self::Whole(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    by_path: Mutex<HashMap<String, Answer>>,
    hits: AtomicUsize,
    sent: AtomicUsize,
    last_request: Mutex<String>,
    released: Notify,
}

/// A listener that counts requests.
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            by_path: Mutex::default(),
            hits: AtomicUsize::default(),
            sent: AtomicUsize::default(),
            last_request: Mutex::default(),
            released: Notify::new(),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&accepting)));
            }
        });
        Self { address, shared }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    pub(super) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    pub(super) fn last_request(&self) -> String {
        self.shared.last_request.lock().unwrap().clone()
    }

    pub(super) fn set(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub(super) fn set_at(&self, path: &str, answer: Answer) {
        self.shared.by_path.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(super) fn release(&self) {
        self.shared.released.notify_waiters();
        self.shared.released.notify_one();
    }

    pub(super) async fn wait_for_hits(&self, hits: usize) {
        for _ in 0..3000 {
            if self.hits() >= hits {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} requests came, not {hits}", self.hits());
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    *shared.last_request.lock().unwrap() = request;
    let answer = shared.by_path.lock().unwrap().get(&path).cloned();
    let mut answer = answer.unwrap_or_else(|| shared.answer.lock().unwrap().clone());
    // Counted when the answer is chosen: who waits for the count may then set another.
    shared.hits.fetch_add(1, Ordering::SeqCst);
    if let Answer::Held(held) = answer {
        shared.released.notified().await;
        answer = *held;
    }
    let _ = send(&mut stream, &answer, &shared).await;
}

async fn send(stream: &mut TcpStream, answer: &Answer, shared: &Shared) -> std::io::Result<()> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
    const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n\r\n";
    match answer {
        Answer::Whole(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        }
        Answer::Endless => {
            stream.write_all(&[HEAD, CHUNKED].concat()).await?;
            let chunk = [b"10000\r\n", &[b' '; 0x10000][..], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
                shared.sent.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
        Answer::Drip => {
            stream.write_all(&[HEAD, CHUNKED].concat()).await?;
            drip(stream, b"1\r\n \r\n").await
        }
        Answer::DripHead => {
            stream.write_all(HEAD).await?;
            drip(stream, b"X: y\r\n").await
        }
        Answer::Silence | Answer::Held(_) => std::future::pending().await,
    }
}

async fn drip(stream: &mut TcpStream, drop: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(drop).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
