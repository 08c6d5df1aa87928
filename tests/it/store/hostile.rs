//! V-67: something that pretends to be PostgreSQL. Whatever it says, the answer is an error within a bound, and others are
//! served meanwhile.

use mintage::oauth::store::ClientStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Lie {
    /// It takes everything and says nothing.
    Silence,
    /// RUSTSEC-2026-0178: a number of rounds that takes an hour.
    ScramRounds,
    /// RUSTSEC-2026-0179: fewer values than columns.
    ShortRow,
    /// A value that ends before it should.
    ShortValue,
    /// A row without end.
    HugeRow,
    /// A value of another type than it says.
    WrongWidth,
    /// No columns at all.
    NoColumns,
    /// Noise.
    Noise,
    /// It goes away in the middle of a row.
    HalfARow,
}

const LIES: [Lie; 9] = [
    Lie::Silence,
    Lie::ScramRounds,
    Lie::ShortRow,
    Lie::ShortValue,
    Lie::HugeRow,
    Lie::WrongWidth,
    Lie::NoColumns,
    Lie::Noise,
    Lie::HalfARow,
];

/// A message of the backend.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn columns(count: i16) -> Vec<u8> {
    let mut body = count.to_be_bytes().to_vec();
    for _ in 0..count {
        body.extend(b"version\0");
        body.extend(0_i32.to_be_bytes()); // table
        body.extend(0_i16.to_be_bytes());
        body.extend(20_i32.to_be_bytes()); // int8
        body.extend(8_i16.to_be_bytes());
        body.extend((-1_i32).to_be_bytes());
        body.extend(1_i16.to_be_bytes()); // binary
    }
    message(b'T', &body)
}

fn row(values: &[&[u8]]) -> Vec<u8> {
    let mut body = i16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
    }
    message(b'D', &body)
}

const READY: &[u8] = b"Z\0\0\0\x05I";

/// What it answers to a question.
fn rows(lie: Lie) -> Vec<u8> {
    let end = [&message(b'C', b"SELECT 1\0")[..], READY].concat();
    let number = 0_i64.to_be_bytes();
    let answer = match lie {
        Lie::ShortRow => [columns(3), row(&[&number])].concat(),
        Lie::ShortValue => [columns(1), message(b'D', b"\0\x01\0\0\0\x08\0\0")].concat(),
        Lie::HugeRow => return [columns(1), b"D\x7f\xff\xff\xff\0\x01\x7f\xff\xff\xf0".to_vec()].concat(),
        Lie::WrongWidth => [columns(1), row(&[b"abc"])].concat(),
        Lie::HalfARow => return [columns(1), row(&[&number])[..9].to_vec()].concat(),
        _ => [columns(0), row(&[])].concat(),
    };
    [message(b'1', b""), message(b't', b"\0\0"), message(b'2', b""), answer, end].concat()
}

async fn frontend_message(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await.ok()?;
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

async fn pretend(mut stream: TcpStream, lie: Lie) -> Option<()> {
    let length = stream.read_u32().await.ok()?;
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await.ok()?;
    match lie {
        Lie::Silence => std::future::pending().await,
        Lie::Noise => {
            while stream.write_all(&[0xff; 4096]).await.is_ok() {}
            return None;
        }
        Lie::ScramRounds => {
            stream.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")).await.ok()?;
            let (_, first) = frontend_message(&mut stream).await?;
            let nonce = String::from_utf8_lossy(&first).rsplit_once("r=")?.1.to_owned();
            let challenge = format!("\0\0\0\x0br={nonce}server,s=c2FsdHNhbHQ=,i=2147483647");
            stream.write_all(&message(b'R', challenge.as_bytes())).await.ok()?;
            return std::future::pending().await;
        }
        _ => stream.write_all(&[&message(b'R', b"\0\0\0\0")[..], READY].concat()).await.ok()?,
    }
    loop {
        match frontend_message(&mut stream).await?.0 {
            b'Q' => stream.write_all(&[&message(b'C', b"SET\0")[..], READY].concat()).await.ok()?,
            b'S' => {
                stream.write_all(&rows(lie)).await.ok()?;
                if matches!(lie, Lie::HalfARow) {
                    return None;
                }
            }
            _ => {}
        }
    }
}

async fn pretender(lie: Lie) -> Location {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pretend(stream, lie));
        }
    });
    Location::parse(&format!("postgres://u:canary@127.0.0.1:{port}/d")).unwrap()
}

// V-67. One thread for everything: what blocks it blocks everybody.
#[tokio::test]
async fn a_hostile_database_gets_an_error_in_time_and_blocks_nobody() {
    let others = Database::memory().open().await;
    for lie in LIES {
        let options = Options { notify: false, ..Options::default() };
        let store = Store::connect(&pretender(lie).await, options).await.unwrap();
        let start = Instant::now();
        let asked = tokio::spawn(async move { ClientStore::get(&*store, &id("a")).await });
        let mut longest = Duration::ZERO;
        while !asked.is_finished() {
            assert!(start.elapsed() < PATIENCE, "{lie:?}");
            let before = Instant::now();
            ClientStore::get(&*others, &id("a")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            longest = longest.max(before.elapsed());
        }
        let result = asked.await.unwrap();
        println!("{lie:?}: {result:?} after {:?}, others waited {longest:?}", start.elapsed());
        assert!(
            matches!(result, Err(StoreError::Unavailable(_) | StoreError::Corrupt(_))),
            "{lie:?} {result:?}"
        );
        assert!(longest < Duration::from_secs(30), "{lie:?}: {longest:?}");
    }
}
