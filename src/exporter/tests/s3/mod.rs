//! A real S3 server that is not ours (versitygw, on a folder), and a proxy before it that goes wrong when it is told to.

pub mod proxy;
pub mod server;
