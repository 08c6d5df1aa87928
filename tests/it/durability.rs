//! State that lasts: what the server acknowledged is there after its process was killed, its disk was full, or everything
//! moved to another database. Real processes on real files.

mod archives;
mod backup;
mod first_run;
mod full_disk;
mod host;
mod kills;
mod master_key;
