//! Files that are read again when they change: certificates, authorities, bundles (F-29).
//!
//! Every few seconds and at SIGHUP each file is read and compared by its content, so that it does not matter how it was
//! replaced: in place, by a rename, or behind the symbolic links of a mounted secret. What cannot be used leaves what was
//! read before in use, is logged once and raises `mintage_file_stale` until it is mended. Files that belong together are
//! seldom replaced in one instant; the first look at a new state that is not usable therefore says nothing yet.

use std::{fmt, fs::File, io::Read, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time,
};
use zeroize::Zeroizing;

use crate::{
    config::{NamedFile, Problem},
    fingerprint,
    telemetry::Metrics,
};

/// How often the files are looked at.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// No file is longer, in bytes.
const MAX_LENGTH: u64 = 4 << 20;

/// What files hold, in the order in which they were named.
pub type Contents = [Zeroizing<Vec<u8>>];

/// Puts what files hold to use, or says why it cannot.
type Apply = Box<dyn FnMut(&Contents) -> Result<(), Problem> + Send + Sync>;

/// Files that belong together.
pub struct Watched {
    name: &'static str,
    files: Vec<NamedFile>,
    apply: Apply,
    used: State,
    /// What could not be used when it was looked at for the first time.
    doubted: Option<State>,
    /// What was refused, aloud.
    refused: Option<State>,
}

/// What files hold, in short: a digest, or why they cannot be read.
type State = Result<[u8; 32], String>;

/// What a look at files found.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nothing new.
    Same,
    /// Something else, which is now in use.
    Used,
    /// What is in use, after something that was refused.
    Restored,
    /// Something of no use.
    Refused(Problem),
}

impl Watched {
    /// Files of which `contents` were read with [`read`] and are in use. `name` is their label in metrics.
    pub fn new(
        name: &'static str,
        files: Vec<NamedFile>,
        contents: &Contents,
        apply: impl FnMut(&Contents) -> Result<(), Problem> + Send + Sync + 'static,
    ) -> Self {
        let used = Ok(fingerprint::of(contents));
        Self { name, files, apply: Box::new(apply), used, doubted: None, refused: None }
    }

    /// Looks whether the files changed. An `impatient` look refuses at once, and again.
    fn look(&mut self, impatient: bool) -> Look {
        let contents = read(&self.files);
        let state = contents.as_deref().map(fingerprint::of).map_err(ToString::to_string);
        if state == self.used {
            self.doubted = None;
            return if self.refused.take().is_some() { Look::Restored } else { Look::Same };
        }
        // Tried again even if it was refused: a certificate may have become valid meanwhile.
        match contents.and_then(|contents| (self.apply)(&contents)) {
            Ok(()) => {
                self.used = state;
                (self.doubted, self.refused) = (None, None);
                Look::Used
            }
            Err(_) if self.refused.as_ref() == Some(&state) && !impatient => Look::Same,
            Err(problem) if self.doubted.as_ref() == Some(&state) || impatient => {
                self.refused = Some(state);
                Look::Refused(problem)
            }
            Err(_) => {
                self.doubted = Some(state);
                Look::Same
            }
        }
    }

    fn report(&mut self, impatient: bool, metrics: &Metrics) {
        let file = self.name;
        match self.look(impatient) {
            Look::Same => {}
            Look::Used => {
                tracing::info!(file, "read again: what changed is in use");
                metrics.file_reloaded(file, true);
            }
            Look::Restored => {
                tracing::info!(file, "what is in use is in the file again");
                metrics.file_stale(file, false);
            }
            Look::Refused(problem) => {
                tracing::error!(file, %problem, "what was read before stays in use");
                metrics.file_reloaded(file, false);
            }
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("name", &self.name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Looks at the files every `interval` and at SIGHUP, for ever.
pub async fn watch(mut files: Vec<Watched>, metrics: Metrics, interval: Duration) {
    for watched in &files {
        metrics.file_watched(watched.name);
    }
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP is not heard; changed files are found all the same");
            None
        }
    };
    loop {
        let impatient = tokio::select! {
            () = time::sleep(interval) => false,
            () = hung_up(&mut hangup) => true,
        };
        let metrics = metrics.clone();
        let looked = super::blocking(move || {
            files.iter_mut().for_each(|watched| watched.report(impatient, &metrics));
            files
        });
        match looked.await {
            Ok(back) => files = back,
            Err(error) => {
                tracing::error!(%error, "changed files are not read any more; restart the server");
                return;
            }
        }
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Reads files whole.
///
/// # Errors
/// The problem of the first that cannot be read, or is larger than 4 MiB.
pub fn read(files: &[NamedFile]) -> Result<Vec<Zeroizing<Vec<u8>>>, Problem> {
    files.iter().map(read_one).collect()
}

fn read_one(named: &NamedFile) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut text = Zeroizing::new(Vec::new());
    File::open(&named.path).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut text)).map_err(
        |error| named.problem(format!("cannot be read ({error}); correct the path or its permissions")),
    )?;
    if text.len() as u64 > MAX_LENGTH {
        return Err(named.problem(format!("is larger than {MAX_LENGTH} bytes; correct the path")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::config::Origin;

    /// Two files that must hold the same, and what was put to use.
    struct Pair {
        directory: tempfile::TempDir,
        used: Arc<Mutex<Vec<u8>>>,
        watched: Watched,
    }

    impl Pair {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let files =
                ["a", "b"].map(|name| NamedFile::new(directory.path().join(name), name, Origin::Default));
            files.iter().for_each(|file| fs::write(&file.path, "1").unwrap());
            let used = Arc::<Mutex<Vec<u8>>>::default();
            let apply = {
                let (used, a) = (Arc::clone(&used), files[0].clone());
                move |contents: &Contents| {
                    if contents[0] != contents[1] {
                        return Err(a.problem("does not fit"));
                    }
                    *used.lock().unwrap() = contents[0].to_vec();
                    Ok(())
                }
            };
            let contents = read(&files).unwrap();
            let mut watched = Watched::new("pair", files.to_vec(), &contents, apply);
            (watched.apply)(&contents).unwrap();
            Self { directory, used, watched }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.path().join(name), text).unwrap();
        }

        fn used(&self) -> String {
            String::from_utf8(self.used.lock().unwrap().clone()).unwrap()
        }
    }

    // F-29
    #[test]
    fn a_change_is_used_and_half_of_one_is_waited_for() {
        let mut pair = Pair::new();
        assert_eq!((pair.used().as_str(), pair.watched.look(false)), ("1", Look::Same));
        pair.write("a", "2");
        assert_eq!(pair.watched.look(false), Look::Same);
        pair.write("b", "2");
        assert_eq!((pair.watched.look(false), pair.used().as_str()), (Look::Used, "2"));
        assert_eq!(pair.watched.look(false), Look::Same);
    }

    // F-29
    #[test]
    fn what_is_of_no_use_is_refused_once_and_the_old_kept() {
        let mut pair = Pair::new();
        let misfit = Look::Refused(pair.watched.files[0].problem("does not fit"));
        pair.write("a", "2");
        assert_eq!(pair.watched.look(false), Look::Same);
        assert_eq!(pair.watched.look(false), misfit);
        assert_eq!(pair.watched.look(false), Look::Same);
        assert_eq!(pair.watched.look(true), misfit, "who asks is told");
        assert_eq!(pair.used(), "1");

        fs::remove_file(pair.directory.path().join("b")).unwrap();
        assert_eq!(pair.watched.look(false), Look::Same);
        assert!(
            matches!(pair.watched.look(false), Look::Refused(problem) if problem.to_string().contains("b: cannot be read"))
        );

        pair.write("b", "1");
        pair.write("a", "1");
        assert_eq!(pair.watched.look(false), Look::Restored);
        assert_eq!(pair.watched.look(false), Look::Same);
    }
}
