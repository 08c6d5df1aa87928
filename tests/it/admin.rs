//! The administration of clients and keys, through its sockets: the admin services of the ops listener, dynamic registration, and the
//! command line.

mod access;
mod clients;
mod command_line;
mod lists;
mod proof_members;
mod registration;
mod secrets;
mod signing_keys;
mod tokens;
