//! A client that costs little: ready-made requests on a connection that stays open.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer responses are none of the gateway's.
const MAX_RESPONSE: usize = 64 * 1024;

/// Where requests go, and under which keys.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    host: String,
    run: String,
}

/// What a client prefers.
#[derive(Debug, Clone, Copy)]
pub enum Prefer {
    /// Not to wait.
    Async,
    /// To wait so many seconds.
    Wait(u64),
}

impl Target {
    /// The gateway at this URL.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        Ok(Self {
            address: host
                .parse()
                .with_context(|| format!("{url} is no address"))?,
            host: host.to_owned(),
            run: format!("loadtest-{}", uuid::Uuid::now_v7().simple()),
        })
    }

    /// The key of this number.
    pub fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// A request that reserves the product with this number.
    pub fn request(&self, number: u64, prefer: Prefer) -> Vec<u8> {
        let body = format!("{{\"data\":{{\"reservation_id\":\"reservation-{number}\"}}}}");
        let prefer = match prefer {
            Prefer::Async => "respond-async".to_owned(),
            Prefer::Wait(seconds) => format!("wait={seconds}"),
        };
        format!(
            "POST /v1/topics/product-reservations/{} HTTP/1.1\r\nHost: {}\r\n\
             Content-Type: application/json\r\nPrefer: {prefer}\r\nContent-Length: {}\r\n\r\n{body}",
            self.key(number),
            self.host,
            body.len(),
        )
        .into_bytes()
    }

    /// A connection to it.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            read: Vec::with_capacity(4096),
        })
    }
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Sends a request, and nothing more.
    pub async fn write(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Sends a request and reads its response; the status.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.write(request).await?;
        self.read.clear();
        loop {
            if let Some(status) = whole(&self.read)? {
                return Ok(status);
            }
            ensure!(self.read.len() < MAX_RESPONSE, "the response has no end");
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the gateway closed the connection");
            }
        }
    }

    /// The same for a request that must have this status.
    pub async fn expect(&mut self, request: &[u8], status: u16) -> anyhow::Result<()> {
        let got = self.send(request).await?;
        ensure!(
            got == status,
            "{got} came instead of {status}: {}",
            String::from_utf8_lossy(&self.read)
        );
        Ok(())
    }
}

/// The status, once the whole response is there.
fn whole(read: &[u8]) -> anyhow::Result<Option<u16>> {
    let Some(end) = read.windows(4).position(|it| it == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&read[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.context("the response has no Content-Length")?;
    match read.len() >= end + 4 + length {
        true => Ok(Some(status.context("the response has no status")?)),
        false => Ok(None),
    }
}

/// As many connections as the system allows.
pub fn raise_file_limit() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_response_is_whole_when_its_body_is() {
        let head = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nx: y\r\n\r\n";
        assert_eq!(whole(b"HTTP/1.1 202 Acc").unwrap(), None);
        assert_eq!(whole(format!("{head}{{").as_bytes()).unwrap(), None);
        assert_eq!(whole(format!("{head}{{}}").as_bytes()).unwrap(), Some(202));
        assert!(whole(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
    }
}
