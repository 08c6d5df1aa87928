//! A private PostgreSQL on a free port of the loopback interface, which ends with the test process, also when that is
//! killed. One instance is shared by all tests, each with a database of its own; a test that breaks things starts another.
//!
//! What cannot be started fails the test: a store that nobody tried is not tested.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::patience::{PATIENCE, free_address};

const PASSWORD: &str = "a-password/of:tests";
const PREFIX: &str = "mintage-test-postgres";

pub struct Postgres {
    bin: PathBuf,
    directory: PathBuf,
    port: u16,
    process: Mutex<Option<Child>>,
}

/// While it lives nobody gets an answer.
pub struct Frozen<'a>(&'a Postgres);

impl Postgres {
    /// The instance of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(false))
    }

    /// An instance of one's own. With `durable` it writes as in production, so that it can be killed.
    pub fn start(durable: bool) -> Self {
        Self::start_with(durable, false)
    }

    /// An instance of one's own whose certificate is for `localhost`, by the authority [`Self::ca_file`].
    pub fn start_with_tls() -> Self {
        Self::start_with(false, true)
    }

    pub fn ca_file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls/ca.pem")
    }

    fn start_with(durable: bool, tls: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_what_others_left();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("{PREFIX}-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let bin = find_binaries();
        let this = Self { bin, directory, port: free_address().port(), process: Mutex::new(None) };
        this.initialise(durable);
        if tls {
            this.give_certificate();
        }
        this.run();
        this
    }

    fn initialise(&self, durable: bool) {
        if let Some((user, group)) = other_user() {
            chown(&self.directory, Some(user), Some(group)).unwrap();
        }
        let password_file = self.directory.join("password");
        fs::write(&password_file, PASSWORD).unwrap();
        fs::set_permissions(&password_file, fs::Permissions::from_mode(0o644)).unwrap();
        let output = self
            .as_owner("initdb")
            .args([
                "--no-sync",
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg("--pgdata")
            .arg(self.data())
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut settings =
            fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf")).unwrap();
        write!(
            settings,
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 100\n\
             shared_buffers = 32MB\nfsync = {durable}\nfull_page_writes = {durable}\nautovacuum = off\n\
             log_line_prefix = '%d|'\nlog_min_messages = warning\n",
            self.port
        )
        .unwrap();
    }

    fn give_certificate(&self) {
        let key = self.data().join("server.key");
        fs::write(&key, include_bytes!("tls/server.key")).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.data().join("server.crt"), include_bytes!("tls/server.pem")).unwrap();
        if let Some((user, group)) = other_user() {
            chown(&key, Some(user), Some(group)).unwrap();
        }
        let mut settings =
            fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf")).unwrap();
        settings.write_all(b"ssl = on\n").unwrap();
    }

    /// A program of PostgreSQL, which refuses to run as root.
    fn as_owner(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        if other_user().is_some() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        // The signal of the kernel when the thread that started it ends, however that comes about.
        command.args(["--pdeathsig", "KILL", "--"]).arg(self.bin.join(program)).current_dir(&self.directory);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn run(&self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
            let mut command = self.as_owner("postgres");
            command.arg("-D").arg(self.data()).stdout(Stdio::null()).stderr(log);
            let mut child = on_a_thread_that_stays(move || command.spawn().unwrap());
            // A predecessor that was killed takes a moment to leave; until then the new one ends at once.
            while child.try_wait().unwrap().is_none() {
                if self.is_ready() {
                    *self.process.lock().unwrap() = Some(child);
                    return;
                }
                assert!(Instant::now() < deadline, "PostgreSQL is not ready: {}", self.logged());
                thread::sleep(Duration::from_millis(50));
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL does not start: {}", self.logged());
    }

    fn is_ready(&self) -> bool {
        let mut command = Command::new(self.bin.join("pg_isready"));
        command.args(["-q", "-h", "127.0.0.1", "-t", "1", "-p", &self.port.to_string()]);
        command.status().unwrap().success()
    }

    /// What it has logged; a line begins with the name of the database and `|`.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database with this name, which is made when there is none.
    pub fn url(&self, database: &str) -> String {
        let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{database}'");
        if self.sql("postgres", &exists).is_empty() {
            self.sql("postgres", &format!("CREATE DATABASE {database}"));
        }
        self.url_through(self.port, database)
    }

    /// The same through something that listens on another port.
    pub fn url_through(&self, port: u16, database: &str) -> String {
        let password = PASSWORD.replace('/', "%2F").replace(':', "%3A");
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    /// The URL of a new database.
    pub fn new_database(&self) -> String {
        self.url(&Self::new_name())
    }

    /// A name that no database has yet.
    pub fn new_name() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("d{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// What psql prints for statements.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        command.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        let output = command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "60").output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends it as a loss of power would.
    pub fn kill9(&self) {
        self.end(Signal::KILL);
    }

    /// Ends it and everybody's connections at once, but in an orderly way.
    pub fn stop_immediate(&self) {
        self.end(Signal::QUIT);
    }

    /// Ends it, and starts it again on the same port with the same data.
    pub fn restart(&self) {
        self.end(Signal::INT);
        self.run();
    }

    /// Starts it again after its end.
    pub fn start_again(&self) {
        self.run();
    }

    fn end(&self, signal: Signal) {
        let Some(mut child) = self.process.lock().unwrap().take() else { return };
        kill_process(pid(child.id()), signal).unwrap();
        child.wait().unwrap();
    }

    /// Stops all its processes: connections stay and are accepted, and nothing answers.
    pub fn freeze(&self) -> Frozen<'_> {
        self.signal_all(Signal::STOP);
        Frozen(self)
    }

    fn signal_all(&self, signal: Signal) {
        let server = self.process.lock().unwrap().as_ref().unwrap().id();
        // First the one that would start others.
        kill_process(pid(server), signal).unwrap();
        for child in children(server) {
            // It may have ended.
            let _ = kill_process(pid(child), signal);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Frozen<'_> {
    pub fn thaw(self) {}
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.signal_all(Signal::CONT);
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

fn children(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes
        .filter(|process: &u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // PID (NAME) STATE PARENT, and the name may contain anything.
            let parent_of =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            parent_of == Some(parent)
        })
        .collect()
}

/// The user PostgreSQL is to run as, when this is root.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:"));
    let mut members = line.expect("root needs a user postgres to run PostgreSQL as").split(':').skip(1);
    let mut number = || members.next().unwrap().parse().unwrap();
    Some((number(), number()))
}

/// Where the package of a distribution puts the programs, the newest version first, or the search path.
fn find_binaries() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    let on_the_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    };
    let found = found.pop().map(|(_, bin)| bin).or_else(on_the_path);
    found.expect("PostgreSQL is not installed: these tests need its initdb, postgres and psql")
}

/// A process that is to end with its parent ends with the thread that started it, and those of tests end early.
fn on_a_thread_that_stays<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    type Work = Box<dyn FnOnce() + Send>;
    static THREAD: OnceLock<Mutex<mpsc::Sender<Work>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Work>();
        thread::spawn(move || receiver.into_iter().for_each(|work| work()));
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    thread.lock().unwrap().send(Box::new(move || reply.send(work()).unwrap())).unwrap();
    answer.recv().unwrap()
}

/// A test process that was killed leaves its directories.
fn remove_what_others_left() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
