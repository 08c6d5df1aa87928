//! Lines of the log on their way to standard error, written by a thread of their own.
//!
//! Whoever logs puts a line into a buffer and goes on: a reader of the log that stalls (a full pipe, a terminal that is
//! paused, a disk that hangs) holds up that thread alone. What finds the buffer full is dropped and counted.
//!
//! The crate `tracing-appender` does nearly this. It bounds the number of lines and not their bytes, allocates for each and
//! wakes its thread for each, and its last words go to a standard output that may be the pipe nobody reads.

use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait; as many again may be on their way out. Some 7,000 lines of requests.
const CAPACITY: usize = 2 << 20;

/// What the buffers keep of that when it is no longer needed.
const KEPT: usize = 64 << 10;

/// How long the thread waits for more lines once it has one: under load many leave in one write.
const LINGER: Duration = Duration::from_millis(2);

/// How long it waits when a descriptor that does not block is full.
const PAUSE: Duration = Duration::from_millis(10);

/// A bounded queue of lines; clones share it.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There are lines to write, or there will be no more.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// The thread sleeps and must be woken, which costs a system call.
    sleeping: bool,
    /// Nobody waits for lines that are still to come.
    closed: bool,
    /// Nothing more is taken.
    ended: bool,
}

impl LogQueue {
    /// A queue whose lines go to `sink`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || of_thread.write_out(sink))?;
        Ok(Self(shared))
    }

    /// How many lines were lost so far: there was no room for them, or they could not be written.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, for no longer than `patience`, and takes no more from then on. Whether they are.
    pub fn finish(&self, patience: Duration) -> bool {
        let mut state = self.0.state();
        state.closed = true;
        self.0.work.notify_one();
        let waited = self.0.ended.wait_timeout_while(state, patience, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

impl Shared {
    /// Nothing that holds the lock panics but for want of memory, and then a line is whole or not there.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.state();
        if state.ended || state.lines.len() + line.len() > CAPACITY {
            drop(state);
            self.count_dropped(line);
            return;
        }
        state.lines.extend_from_slice(line);
        if mem::take(&mut state.sleeping) {
            drop(state);
            self.work.notify_one();
        }
    }

    fn write_out(&self, mut sink: impl Write) {
        let (mut batch, mut told, mut works) = (Vec::new(), 0, true);
        while self.has_lines() {
            thread::sleep(LINGER);
            mem::swap(&mut batch, &mut self.state().lines);
            let dropped = self.dropped.load(Ordering::Relaxed);
            // Now there is room. Where nothing can be written, word of it would be lost, of which there would be word.
            if works && dropped > told {
                tracing::warn!(lines = dropped - told, "lines of this log were lost; its reader is too slow");
                told = dropped;
            }
            works = self.write(&mut sink, &batch);
            batch.clear();
            batch.shrink_to(KEPT);
        }
        self.ended.notify_all();
    }

    /// Waits for lines; `false` when there are none and there will be no more.
    fn has_lines(&self) -> bool {
        let mut state = self.state();
        while state.lines.is_empty() {
            if state.closed {
                state.ended = true;
                return false;
            }
            state.sleeping = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeping = false;
        true
    }

    /// Whether all were written; what was not is counted.
    fn write(&self, sink: &mut impl Write, mut lines: &[u8]) -> bool {
        while !lines.is_empty() {
            match sink.write(lines) {
                Ok(written) if written > 0 => lines = &lines[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Ok(_) | Err(_) => {
                    self.count_dropped(lines);
                    return false;
                }
            }
        }
        true
    }

    fn count_dropped(&self, lines: &[u8]) {
        let count = lines.iter().filter(|&&byte| byte == b'\n').count();
        self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// One `write` is one record, which is kept or dropped as a whole.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LogQueue {
    type Writer = &'w LogQueue;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}

impl fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogQueue").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// More than anything takes that happens at all.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Takes bytes only after it was allowed to, once and for all.
    struct Gate {
        allowed: Option<Receiver<()>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(allowed) = self.allowed.take() {
                allowed.recv().unwrap();
            }
            self.taken.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogQueue, Sender<()>, Receiver<Vec<u8>>) {
        let (allow, allowed) = channel();
        let (taken, all) = channel();
        (LogQueue::start(Gate { allowed: Some(allowed), taken }).unwrap(), allow, all)
    }

    fn log(mut queue: &LogQueue, line: &str) {
        queue.write_all(line.as_bytes()).unwrap();
    }

    // F-19
    #[test]
    fn what_finds_no_room_is_dropped_and_counted_and_the_rest_arrives_in_order() {
        let (queue, allow, taken) = gated();
        let line = |n: usize| format!("{n:0>1023}\n");
        let count = 4 * CAPACITY / 1024;
        for n in 0..count {
            log(&queue, &line(n));
        }
        assert!(!queue.finish(Duration::ZERO), "nobody has read anything");
        allow.send(()).unwrap();
        assert!(queue.finish(PATIENCE));
        let written = String::from_utf8(taken.try_iter().flatten().collect()).unwrap();
        let numbers: Vec<usize> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers[0] == 0);
        // One buffer full waited, and at most one more was with the thread.
        let full = CAPACITY / 1024;
        assert!((full..=2 * full).contains(&numbers.len()), "{}", numbers.len());
        assert_eq!(queue.dropped(), (count - numbers.len()) as u64);
    }

    #[test]
    fn what_was_logged_before_the_end_is_written() {
        let (queue, allow, taken) = gated();
        allow.send(()).unwrap();
        (0..100).for_each(|n| log(&queue, &format!("{n}\n")));
        assert!(queue.finish(PATIENCE));
        log(&queue, "too late\n");
        let written: Vec<u8> = taken.try_iter().flatten().collect();
        assert_eq!(written.split(|&byte| byte == b'\n').count(), 101);
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        struct Broken(bool);
        impl Write for Broken {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                match mem::replace(&mut self.0, true) {
                    false => Err(io::ErrorKind::WouldBlock.into()),
                    true => Err(io::Error::other(format!("{} bytes, no room", bytes.len()))),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let queue = LogQueue::start(Broken(false)).unwrap();
        log(&queue, "one\ntwo\n");
        assert!(queue.finish(PATIENCE));
        assert_eq!(queue.dropped(), 2);
    }
}
