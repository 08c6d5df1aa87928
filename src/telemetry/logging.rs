//! Where log records go (standard error) and in which form (text or JSON lines).
//!
//! One record is one line, whatever its values hold: control characters are escaped on the way out, for text and
//! JSON alike, so that no client id or peer's error message can forge a record or command a terminal. Values are
//! escaped once more by tracing-subscriber where it prints them quoted; this is the net under every `Display` value.
//!
//! Of dependencies only INFO and above is written: below it, they quote what callers send.
//!
//! Nobody who logs waits for standard error: see [`log_queue`](super::log_queue).

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    panic,
    str::FromStr,
};

use tracing::{Level, Subscriber, subscriber::SetGlobalDefaultError};
use tracing_subscriber::{
    EnvFilter,
    filter::{FilterFn, ParseError},
    fmt::{MakeWriter, SubscriberBuilder},
    layer::SubscriberExt,
};

use super::log_queue::LogQueue;

/// The form of a log record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, target, message, fields.
    #[default]
    Text,
    /// For collectors: one JSON object per line, the fields at its top level.
    Json,
}

impl FromStr for Format {
    type Err = LoggingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LoggingError::Format),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not a list of directives.
    #[error(
        "the log filter {filter:?} is not valid ({source}); write a level, or target=level pairs: info,mintage=debug"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What its parser found.
        source: ParseError,
    },
    /// The format has another name.
    #[error("the log format must be text or json")]
    Format,
    /// Logging was set up before.
    #[error("logging is already set up in this process")]
    AlreadySet(#[from] SetGlobalDefaultError),
    /// The operating system refused a descriptor or a thread.
    #[error("the log cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Sends the records that `filter` lets through to standard error, for the rest of the process; panics are records too. What
/// is returned must be told when the process ends, or its last lines are lost.
///
/// # Errors
///
/// [`LoggingError::Filter`] when `filter` cannot be parsed, [`LoggingError::AlreadySet`] on a second call,
/// [`LoggingError::Io`].
pub fn init(filter: &str, format: Format) -> Result<LogQueue, LoggingError> {
    let colours = format == Format::Text && io::stderr().is_terminal();
    // A descriptor of its own: the lock of `io::stderr` would be held for as long as a write takes.
    let queue = LogQueue::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    let builder = builder(filter, colours, queue.clone())?;
    match format {
        Format::Text => tracing::subscriber::set_global_default(builder.finish().with(discretion()))?,
        Format::Json => {
            let records = builder.json().flatten_event(true).finish().with(discretion());
            tracing::subscriber::set_global_default(records)?;
        }
    }
    // The hook of the standard library writes to standard error itself, and so waits for whoever reads it.
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(queue)
}

/// The same records for a writer of the caller's choice, without colours.
///
/// # Errors
///
/// [`LoggingError::Filter`] when `filter` cannot be parsed.
pub fn subscriber<W>(
    filter: &str,
    format: Format,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = builder(filter, false, writer)?;
    Ok(match format {
        Format::Text => Box::new(builder.finish().with(discretion())),
        Format::Json => Box::new(builder.json().flatten_event(true).finish().with(discretion())),
    })
}

/// Keeps the details of dependencies out of the log, whatever the filter lets through: h2 quotes a malformed path or
/// authority at DEBUG, and either may hold a token (V-71). Of what peers do wrong h2 warns frame by frame, as many times as they
/// please (V-56).
fn discretion() -> FilterFn {
    FilterFn::new(|metadata| {
        let target = metadata.target();
        let most = if target.starts_with("h2::") { Level::ERROR } else { Level::INFO };
        *metadata.level() <= most || target == "mintage" || target.starts_with("mintage::")
    })
}

type Builder<W> = SubscriberBuilder<
    tracing_subscriber::fmt::format::DefaultFields,
    tracing_subscriber::fmt::format::Format,
    EnvFilter,
    OneLine<W>,
>;

fn builder<W>(filter: &str, colours: bool, writer: W) -> Result<Builder<W>, LoggingError>
where
    W: for<'w> MakeWriter<'w> + 'static,
{
    let directives = EnvFilter::try_new(filter)
        .map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })?;
    Ok(tracing_subscriber::fmt()
        .with_env_filter(directives)
        .with_ansi(colours)
        // A record that cannot be written is lost. To report that on standard error would panic where it is closed or full.
        .log_internal_errors(false)
        .with_writer(OneLine { inner: writer, colours }))
}

/// Makes writers that keep one record on one line.
struct OneLine<W> {
    inner: W,
    colours: bool,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLineWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLineWriter { inner: self.inner.make_writer(), colours: self.colours }
    }
}

/// A record arrives in one `write`, its final newline included; every other control character is a value's.
struct OneLineWriter<W> {
    inner: W,
    colours: bool,
}

impl<W: Write> Write for OneLineWriter<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let (line, end) = match record.strip_suffix(b"\n") {
            Some(line) => (line, &b"\n"[..]),
            None => (record, &b""[..]),
        };
        // The formatter's own colours are escape sequences; it escapes those in values itself.
        let is_control = |c: char| c.is_control() && !(self.colours && c == '\u{1b}');
        let text = String::from_utf8_lossy(line);
        if text.contains(is_control) {
            let mut clean = String::with_capacity(text.len() + 16);
            for c in text.chars() {
                if is_control(c) {
                    clean.push_str(&format!("\\u{:04x}", u32::from(c)));
                } else {
                    clean.push(c);
                }
            }
            self.inner.write_all(&[clean.as_bytes(), end].concat())?;
        } else {
            self.inner.write_all(record)?;
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    // V-72
    #[test]
    fn control_characters_cannot_forge_a_record() {
        let forged = "a\r\n2026-01-01 INFO forged\u{1b}[31m\u{9b}\u{85}\0\u{7f}";
        for format in [Format::Text, Format::Json] {
            let memory = Memory::default();
            let sink = memory.clone();
            let records = subscriber("info", format, move || sink.clone()).unwrap();
            tracing::subscriber::with_default(records, || {
                tracing::info!(client_id = forged, shown = %forged, "{forged}");
            });
            let written = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
            let line = written.strip_suffix('\n').unwrap();
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(line.contains("forged"));
            if format == Format::Json {
                let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(parsed["client_id"], forged);
            }
        }
    }

    // V-71
    #[test]
    fn dependencies_do_not_tell_details() {
        let memory = Memory::default();
        let sink = memory.clone();
        let records = subscriber("trace", Format::Text, move || sink.clone()).unwrap();
        tracing::subscriber::with_default(records, || {
            tracing::debug!(target: "h2::server", "a path");
            tracing::trace!(target: "mintages", "somebody else's");
            tracing::warn!(target: "h2::proto::ping_pong", "once per frame");
            tracing::warn!(target: "rustls", "a warning");
            tracing::trace!(target: "mintage::rest", "ours");
        });
        let written = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 2, "{written}");
        assert!(written.contains("a warning") && written.contains("ours"), "{written}");
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = subscriber("mintage=loud", Format::Text, io::sink).err().unwrap();
        assert!(error.to_string().contains("\"mintage=loud\""), "{error}");
        assert!("xml".parse::<Format>().is_err());
    }
}
