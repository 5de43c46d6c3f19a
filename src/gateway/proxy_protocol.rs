//! The PROXY protocol, versions 1 and 2: what a trusted balancer says of the true address.

use std::{io, net::IpAddr};

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The longest header believed; real ones are below 250 bytes.
const LONGEST: usize = 4_096;

/// Reads the header off the stream; `None` when it names no address (a balancer's own health check).
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut seen = vec![0; LONGEST];
    let mut last = 0;
    loop {
        stream.readable().await?;
        let filled = stream.peek(&mut seen).await?;
        if filled == 0 || (filled == last && filled == LONGEST) {
            return Err(io::Error::other("no PROXY header"));
        }
        let header = HeaderResult::parse(seen.get(..filled).unwrap_or_default());
        if header.is_incomplete() {
            if filled == last {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            last = filled;
            continue;
        }
        let (address, length) = understood(&header).ok_or_else(malformed)?;
        let mut header = vec![0; length];
        stream.read_exact(&mut header).await?;
        return Ok(address);
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed PROXY header")
}

fn understood(header: &HeaderResult<'_>) -> Option<(Option<IpAddr>, usize)> {
    match header {
        HeaderResult::V1(Ok(header)) => {
            let address = match header.addresses {
                v1::Addresses::Tcp4(tcp) => Some(IpAddr::V4(tcp.source_address)),
                v1::Addresses::Tcp6(tcp) => Some(IpAddr::V6(tcp.source_address)),
                v1::Addresses::Unknown => None,
            };
            Some((address, header.header.len()))
        }
        HeaderResult::V2(Ok(header)) => {
            let address = match header.addresses {
                v2::Addresses::IPv4(ip) => Some(IpAddr::V4(ip.source_address)),
                v2::Addresses::IPv6(ip) => Some(IpAddr::V6(ip.source_address)),
                v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
            };
            Some((address, header.len()))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}
