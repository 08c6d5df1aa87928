//! A caller that says exactly the bytes it is told to, and reads what comes back.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any deadline that a test sets; reached only when the server fails to act.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A connection: of TCP, or of what is spoken over it.
pub struct Raw<S = TcpStream> {
    pub stream: S,
    read: Vec<u8>,
}

/// An HTTP/1 response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Closes this direction: nothing more is to come.
    pub async fn send_no_more(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Sends `byte` again and again until the server closes the connection or `PATIENCE` ends.
    pub async fn drip(&mut self, byte: u8, every: Duration) -> bool {
        let dripping = async {
            loop {
                let mut buffer = [0; 1024];
                tokio::select! {
                    read = self.stream.read(&mut buffer) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(length) => self.read.extend_from_slice(&buffer[..length]),
                    },
                    () = tokio::time::sleep(every) => if self.stream.write_all(&[byte]).await.is_err() {
                        return;
                    },
                }
            }
        };
        timeout(PATIENCE, dripping).await.is_ok()
    }

    /// What arrives until the server closes the connection; `None` when it does not.
    pub async fn until_closed(&mut self) -> Option<Vec<u8>> {
        let mut all = std::mem::take(&mut self.read);
        let mut buffer = [0; 16 * 1024];
        loop {
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await {
                Err(_) => return None,
                Ok(Ok(0) | Err(_)) => return Some(all),
                Ok(Ok(length)) => all.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// What arrives until there are so many bytes, or the connection ends.
    pub async fn at_least(&mut self, length: usize) -> Vec<u8> {
        let mut buffer = [0; 1024];
        while self.read.len() < length {
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await {
                Ok(Ok(more)) if more > 0 => self.read.extend_from_slice(&buffer[..more]),
                _ => break,
            }
        }
        std::mem::take(&mut self.read)
    }

    /// The next response, which must have a content length; `None` when the connection ends before it.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.take_answer() {
                return Some(answer);
            }
            let mut buffer = [0; 4096];
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await {
                Ok(Ok(length)) if length > 0 => self.read.extend_from_slice(&buffer[..length]),
                _ => return None,
            }
        }
    }

    fn take_answer(&mut self) -> Option<Answer> {
        let end = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase().replace("\r\n", "\n");
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |value| value.parse().unwrap());
        if self.read.len() < end + length {
            return None;
        }
        answer.body = String::from_utf8_lossy(&self.read[end..end + length]).into_owned();
        self.read.drain(..end + length);
        Some(answer)
    }
}

/// Sends one request on a connection of its own.
pub async fn request(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut raw = Raw::connect(address).await;
    raw.send(bytes).await;
    raw.answer().await
}

/// An HTTP/2 frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A HEADERS frame that ends its headers, every field a literal without indexing (RFC 7541 §6.2.2).
pub fn headers(stream: u32, end_stream: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend(text.as_bytes());
        }
    }
    frame(1, 4 | u8::from(end_stream), stream, &block)
}
