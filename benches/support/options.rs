//! The command line of a bench: `cargo bench --bench NAME -- [SECONDS] [--runs N] [--pin] [--json FILE] [--svg FILE]`.

use std::{path::PathBuf, process::Command, thread, time::Duration};

use super::Result;

/// The core of the server, with `--pin`.
pub const SERVER: &str = "0";

/// The core of the driver, with `--pin`.
pub const DRIVER: &str = "1";

/// What all benches understand.
const USAGE: &str = "usage: cargo bench --bench NAME -- [SECONDS] [--runs N] [--pin] [--json FILE] [--svg FILE]; \
                     more in docs/performance.md";

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each figure is measured.
    pub duration: Duration,
    /// How often everything is measured; the medians are reported.
    pub runs: usize,
    /// Whether the server has the first core for itself and the driver the second.
    pub pin: bool,
    /// Where the tables go as JSON.
    pub json: Option<PathBuf>,
    /// Where the chart goes.
    pub svg: Option<PathBuf>,
}

impl Options {
    /// Reads the command line, with these defaults; nothing when only help is wanted or this is not a run of `cargo bench`. With
    /// `--pin` this process is moved to its core.
    pub fn read(seconds: f64, runs: usize) -> Result<Option<Self>> {
        let mut options =
            Self { duration: Duration::from_secs_f64(seconds), runs, pin: false, json: None, svg: None };
        let (mut arguments, mut is_bench) = (std::env::args().skip(1), false);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                // What `cargo bench` says to every bench.
                "--bench" => is_bench = true,
                "--help" | "-h" => {
                    println!("{USAGE}");
                    return Ok(None);
                }
                "--runs" => {
                    let runs = value()?;
                    options.runs = runs.parse().map_err(|_| format!("--runs {runs} is no number of runs"))?;
                }
                "--pin" => options.pin = true,
                "--json" => options.json = Some(value()?.into()),
                "--svg" => options.svg = Some(value()?.into()),
                seconds => {
                    options.duration = seconds
                        .parse()
                        .ok()
                        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                        .ok_or_else(|| format!("{seconds} is no option and no number of seconds; {USAGE}"))?;
                }
            }
        }
        if options.runs == 0 || options.duration < Duration::from_millis(10) {
            return Err("at least one run of 10 ms".into());
        }
        if !is_bench {
            println!("this measures; run it with `cargo bench`");
            return Ok(None);
        }
        if options.pin {
            if thread::available_parallelism()?.get() < 2 {
                return Err("--pin needs two cores".into());
            }
            options.move_to(DRIVER)?;
        }
        Ok(Some(options))
    }

    /// Moves this process to a core, with `--pin`.
    pub fn move_to(&self, core: &str) -> Result<()> {
        if self.pin {
            let own = std::process::id().to_string();
            let done = Command::new("taskset").args(["-a", "-c", "-p", core, &own]).output()?;
            if !done.status.success() {
                return Err(String::from_utf8_lossy(&done.stderr).into_owned().into());
            }
        }
        Ok(())
    }
}
