//! The release binary as a process of its own, and what it takes of the machine.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::{
    Result,
    http::{Connection, get, issue},
    options::SERVER,
};

/// A server under test; its process ends with this value.
pub struct Server {
    /// The one port.
    pub address: SocketAddr,
    /// From the start of the process until it takes connections.
    pub ready_after: Duration,
    ops: SocketAddr,
    child: Child,
    /// Nanoseconds of each thread, of those too that have ended.
    cpu: Mutex<HashMap<u64, u64>>,
    directory: Arc<TempDir>,
    /// Whether it has a core for itself.
    pub pinned: bool,
}

impl Server {
    /// Starts a server with this configuration, in a directory of its own.
    pub fn start(config: &str, pin: bool) -> Result<Self> {
        Self::start_in(Arc::new(tempfile::tempdir()?), config, pin)
    }

    /// Starts one on what is in the directory already: certificates, keys, a database.
    pub fn start_in(directory: Arc<TempDir>, config: &str, pin: bool) -> Result<Self> {
        fs::write(directory.path().join("mintage.toml"), config)?;
        let (address, ops) = (free_address()?, free_address()?);
        let mut command = match pin {
            true => Command::new("taskset"),
            false => Command::new(binary()),
        };
        if pin {
            command.args(["-c", SERVER]).arg(binary());
        }
        let begun = Instant::now();
        let child = command
            .args(["serve", "--config", "mintage.toml"])
            .env("MINTAGE_LISTEN", address.to_string())
            .env("MINTAGE_OPS_LISTEN", ops.to_string())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self {
            address,
            ready_after: Duration::ZERO,
            ops,
            child,
            cpu: Mutex::default(),
            directory,
            pinned: pin,
        };
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(60) || server.child.try_wait()?.is_some() {
                return Err("the server did not start".into());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    /// Ends the process and starts one on the same directory.
    pub fn restart(self) -> Result<Self> {
        let (directory, pinned) = (Arc::clone(&self.directory), self.pinned);
        let config = fs::read_to_string(directory.path().join("mintage.toml"))?;
        drop(self);
        Self::start_in(directory, &config, pinned)
    }

    /// User and system time of the process so far, in nanoseconds resolution.
    pub fn cpu(&self) -> Result<Duration> {
        let mut cpu = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?;
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let id = task.file_name().to_string_lossy().parse()?;
            cpu.insert(id, on_cpu(&text)?);
        }
        Ok(Duration::from_nanos(cpu.values().sum()))
    }

    /// Memory of the process, in KiB.
    pub fn rss_kib(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most memory that the process has had, in KiB.
    pub fn peak_kib(&self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("the server has ended")?;
        Ok(line.split_whitespace().nth(1).ok_or("status")?.parse()?)
    }

    /// The sum of all values of a metric; 0 when the server does not have it.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let mut connection = Connection::open(self.ops, None).await?;
        connection.ask(&get("/metrics")).await?;
        let text = String::from_utf8_lossy(connection.body()).into_owned();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// A connection to the one port.
    pub async fn connect(&self) -> Result<Connection<tokio::net::TcpStream>> {
        Connection::open(self.address, None).await
    }

    /// A token of this client.
    pub async fn token(&self, client_id: &str) -> Result<String> {
        let mut connection = self.connect().await?;
        connection.ask(&issue(client_id)).await?;
        connection.token()
    }

    /// A connection that comes from this address.
    pub async fn connect_from(&self, source: IpAddr) -> Result<Connection<tokio::net::TcpStream>> {
        Connection::open(self.address, Some(source)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of this process so far.
pub fn own_cpu() -> Result<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

/// The release binary.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mintage"))
}

/// The first field of `schedstat`: nanoseconds on a core.
fn on_cpu(text: &str) -> Result<u64> {
    Ok(text.split_whitespace().next().ok_or("schedstat")?.parse()?)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A file in the directory of a server.
pub fn file(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}
