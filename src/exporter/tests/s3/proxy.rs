//! A proxy for HTTP/1.1 that passes requests on as they are, or does to them what a bad day does.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is passed on, and so is its answer.
    None,
    /// It is passed on; where its condition did not hold, the answer is that it succeeded. The condition itself is signed:
    /// it cannot be taken away on the way.
    IgnoresConditions,
    /// It is not passed on; this is the answer.
    Answer(&'static str, &'static str),
    /// The connection is reset before it is passed on.
    Reset,
    /// It is passed on, and the connection is reset instead of an answer.
    LostAnswer,
    /// Half of the answer comes.
    HalfAnswer,
    /// The answer comes in small pieces.
    SlowAnswer,
}

pub const SLOW_DOWN: Fault = Fault::Answer("503 Slow Down", "SlowDown");
pub const INTERNAL_ERROR: Fault = Fault::Answer("500 Internal Server Error", "InternalError");

/// Method and target of a request, such as `PUT /lake/a`.
type Decide = dyn Fn(&str) -> Fault + Send + Sync;

/// A running proxy; it ends with its handle.
pub struct Proxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Before the server at `socket`.
    pub async fn start(socket: PathBuf, decide: impl Fn(&str) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let decide: Arc<Decide> = Arc::new(decide);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, decide) = (socket.clone(), Arc::clone(&decide));
                tokio::spawn(async move {
                    // An error is a connection that one of the sides has closed.
                    let _ = serve(client, socket, decide).await;
                });
            }
        });
        Self { address, task }
    }

    /// One that passes on bytes, whatever they are: TLS ends at the server.
    pub async fn tunnel(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, task }
    }

    /// Endpoint for clients.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request for each connection: a client that keeps none needs no more.
async fn serve(mut client: TcpStream, socket: PathBuf, decide: Arc<Decide>) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let line = head.lines().next().unwrap_or_default();
    let target = line.rsplit_once(' ').map_or(line, |(target, _)| target).to_owned();
    let fault = decide(&target);
    match fault {
        Fault::Reset => return reset(client),
        Fault::Answer(status, code) => {
            let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            client.write_all(head.as_bytes()).await?;
            client.write_all(body.as_bytes()).await?;
            return client.shutdown().await;
        }
        _ => {}
    }
    let mut server = UnixStream::connect(&socket).await?;
    for header in head.lines() {
        let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name != "connection" && !header.is_empty() {
            server.write_all(header.as_bytes()).await?;
            server.write_all(b"\r\n").await?;
        }
    }
    server.write_all(b"Connection: close\r\n\r\n").await?;
    server.write_all(&body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    match fault {
        Fault::LostAnswer => return reset(client),
        Fault::HalfAnswer => {
            client.write_all(&answer[..answer.len() / 2]).await?;
            return reset(client);
        }
        Fault::SlowAnswer => {
            for piece in answer.chunks(answer.len() / 50 + 1) {
                client.write_all(piece).await?;
                tokio::task::yield_now().await;
            }
        }
        Fault::IgnoresConditions if answer.starts_with(b"HTTP/1.1 412") => {
            client
                .write_all(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
        }
        _ => client.write_all(&answer).await?,
    }
    client.shutdown().await
}

async fn read_request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length = head.lines().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = read.split_off(end);
    while body.len() < length.unwrap_or(0) {
        if client.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

/// Closes a connection the hard way.
fn reset(client: TcpStream) -> std::io::Result<()> {
    client.set_zero_linger()?;
    drop(client);
    Ok(())
}
