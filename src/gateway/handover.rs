//! An upgrade without a refused connection: the running proxy hands its listening sockets to its successor.
//!
//! The successor connects to the upgrade socket, is sent the descriptors, and says one byte once it serves;
//! only then does the predecessor stop accepting. Both accept from the same queue in between.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// What the successor says when it serves.
const SERVING: u8 = b'1';

/// How long a successor may take from its first connection to serving.
const PATIENCE: Duration = Duration::from_secs(60);

/// The listening sockets of a proxy.
#[derive(Debug)]
pub struct Listeners {
    /// Where calls come in.
    pub traffic: TcpListener,
    /// Where operators ask.
    pub operations: TcpListener,
}

/// The word a successor owes its predecessor.
#[derive(Debug)]
pub struct Promise(UnixStream);

impl Promise {
    /// Tells the predecessor that it may go.
    ///
    /// # Errors
    ///
    /// When the predecessor is gone already.
    pub fn keep(mut self) -> io::Result<()> {
        self.0.write_all(&[SERVING])
    }
}

/// Takes the listeners from the proxy that runs behind `socket`.
///
/// # Errors
///
/// When nobody is behind the socket, or it sends something else.
pub fn take(socket: &Path) -> io::Result<(Listeners, Promise)> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    let mut sockets = sockets.into_iter();
    match (sockets.next(), sockets.next()) {
        (Some(traffic), Some(operations)) => {
            let listeners = Listeners {
                traffic: traffic.into(),
                operations: operations.into(),
            };
            Ok((listeners, Promise(stream)))
        }
        _ => Err(io::Error::other("the running proxy sent no listeners")),
    }
}

/// Waits behind `socket` until a successor has taken the listeners and serves.
///
/// Blocks its thread; a successor that fails before it serves is forgotten.
///
/// # Errors
///
/// When the socket cannot be made.
pub fn give(socket: &Path, listeners: &Listeners) -> io::Result<()> {
    // A socket file outlives its process; whoever starts last owns the name.
    let _absent = std::fs::remove_file(socket);
    let waiting = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (successor, _) = waiting.accept()?;
        match hand_over(successor, listeners) {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(error = %error, "a successor did not come to serve"),
        }
    }
}

fn hand_over(mut successor: UnixStream, listeners: &Listeners) -> io::Result<()> {
    let sockets: [BorrowedFd<'_>; 2] = [listeners.traffic.as_fd(), listeners.operations.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(
        &successor,
        &[IoSlice::new(b"l")],
        &mut control,
        SendFlags::empty(),
    )?;
    successor.set_read_timeout(Some(PATIENCE))?;
    let mut word = [0];
    successor.read_exact(&mut word)?;
    if word == [SERVING] {
        Ok(())
    } else {
        Err(io::Error::other("an unknown word"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_accepts_on_the_sockets_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("upgrade.sock");
        let traffic = TcpListener::bind("127.0.0.1:0").unwrap();
        let operations = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = traffic.local_addr().unwrap();
        let listeners = Listeners {
            traffic,
            operations,
        };
        let predecessor = {
            let socket = socket.clone();
            std::thread::spawn(move || give(&socket, &listeners))
        };
        while !socket.exists() {
            std::thread::yield_now();
        }

        let (taken, promise) = take(&socket).unwrap();
        promise.keep().unwrap();
        predecessor.join().unwrap().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();

        let (_, seen) = taken.traffic.accept().unwrap();
        assert_eq!(seen, client.local_addr().unwrap());
    }
}
