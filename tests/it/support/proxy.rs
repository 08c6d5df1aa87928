//! A TCP proxy that does to connections what networks do, and changes its mind while it runs.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// What happens to what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It passes.
    Pass,
    /// New connections are reset; existing ones pass.
    Refuse,
    /// Connections are accepted and stay open, and nothing passes: packets are dropped.
    Blackhole,
    /// Every piece, in each direction, waits so long.
    Delay(Duration),
}

pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cut: Arc<watch::Sender<u64>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port in front of a port of this machine.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, _) = watch::channel(Mode::Pass);
        let cut = Arc::new(watch::channel(0).0);
        let task = tokio::spawn(accept(listener, port, mode.subscribe(), cut.clone()));
        Self { address, mode, cut, task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Resets every existing connection.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, port: u16, mode: watch::Receiver<Mode>, cut: Arc<watch::Sender<u64>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *mode.borrow() == Mode::Refuse {
            reset(&client);
            continue;
        }
        tokio::spawn(connect(client, port, mode.clone(), cut.subscribe()));
    }
}

/// The connection ends with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn connect(client: TcpStream, port: u16, mode: watch::Receiver<Mode>, mut cut: watch::Receiver<u64>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return reset(&client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client, mut server) = (client.into_split(), server.into_split());
    let ended = tokio::select! {
        _ = pass(&mut client.0, &mut server.1, mode.clone()) => false,
        _ = pass(&mut server.0, &mut client.1, mode.clone()) => false,
        _ = cut.changed() => true,
    };
    if ended && let Ok(stream) = client.0.reunite(client.1) {
        reset(&stream);
    }
}

async fn pass(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let now = *mode.borrow_and_update();
        match now {
            Mode::Pass | Mode::Refuse => {}
            Mode::Delay(time) => sleep(time).await,
            // Gone for good, as the end of a connection that loses packets never learns.
            Mode::Blackhole => std::future::pending().await,
        }
        to.write_all(&buffer[..length]).await?;
    }
}
