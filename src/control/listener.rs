//! The place where clients come in: a TCP address or a Unix socket.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::options::Place;
use crate::error::{Error, Result};

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// What a listener is for, in its errors.
#[derive(Clone, Copy)]
pub(super) struct Purpose {
    /// What it listens for.
    pub what: &'static str,
    /// What to do where a socket's path cannot be had.
    pub remedy: &'static str,
}

/// Listens.
pub(super) enum Listener {
    Tcp { listener: TcpListener, address: SocketAddr },
    Unix { listener: UnixListener, file: SocketFile },
}

/// The socket's file, which goes when this does.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another's file of the same name stays.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

impl SocketFile {
    fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.id);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("removing the socket \"{}\": {error}", self.path.display());
        }
    }
}

impl Listener {
    /// Listens at `place` for what `purpose` says; `remedy` helps where that cannot be.
    pub fn open(place: Place<'_>, purpose: Purpose) -> Result<Listener> {
        let Purpose { what, remedy } = purpose;
        match place {
            Place::Tcp(address) => {
                let doing = format!("listening for {what} on {address}");
                let open = || -> io::Result<Listener> {
                    let listener = TcpListener::bind(address)?;
                    let address = listener.local_addr()?;
                    Ok(Listener::Tcp { listener, address })
                };
                open().map_err(|error| {
                    Error::unavailable(doing, error)
                        .remedy("set another [control] listen, or end what listens there")
                })
            }
            Place::Unix(path) => {
                let doing = format!("listening for {what} on \"{}\"", path.display());
                clear(path)
                    .and_then(|()| bind(path))
                    .map_err(|error| Error::unavailable(doing, error).remedy(remedy))
            }
        }
    }

    /// Waits for a client.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp { listener, .. } => {
                let (stream, _) = listener.accept()?;
                // An answer is one piece: nothing is gained by holding it back.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Listener::Unix { listener, .. } => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }

    /// Lets [`Listener::accept`] return, by being a client. Whether it did.
    pub fn wake(&self) -> bool {
        match self {
            Listener::Tcp { address, .. } => {
                let mut to = *address;
                if to.ip().is_unspecified() {
                    to.set_ip(match to.ip() {
                        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                    });
                }
                TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok()
            }
            Listener::Unix { file, .. } => UnixStream::connect(&file.path).is_ok(),
        }
    }

    /// Removes what others find it by.
    pub fn hide(&self) {
        if let Listener::Unix { file, .. } = self {
            file.remove();
        }
    }

    /// As a person would write it.
    pub fn address(&self) -> String {
        match self {
            Listener::Tcp { address, .. } => address.to_string(),
            Listener::Unix { file, .. } => file.path.display().to_string(),
        }
    }

    /// Whether other machines can reach it.
    pub fn is_remote(&self) -> bool {
        match self {
            Listener::Tcp { address, .. } => !address.ip().to_canonical().is_loopback(),
            Listener::Unix { .. } => false,
        }
    }
}

/// Makes sure that nothing is lost when a socket takes this path.
fn clear(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        let fault = "there is a file of that name, and it is no socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, fault));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there already")),
        // Left behind by a process that was killed; `bind` puts ours in its place.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// Binds a socket in a folder that only we may enter, so that nobody can connect
/// before its mode is set, and moves it to its path.
fn bind(path: &Path) -> io::Result<Listener> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A socket's path is short (108 bytes, unix(7)): so is this.
    let folder = parent.join(format!(".k{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, fs::Permissions::from_mode(SOCKET_MODE))?;
        let kind = fs::symlink_metadata(&inside)?;
        fs::rename(&inside, path)?;
        let file = SocketFile { path: path.to_owned(), id: (kind.dev(), kind.ino()) };
        Ok(Listener::Unix { listener, file })
    });
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&folder);
    bound
}

/// A client.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        })
    }

    /// Reads and writes take no longer than this; it must not be zero.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }

    /// Ends one or both directions; whoever waits on them returns.
    pub fn shutdown(&self, how: Shutdown) {
        // That the client was faster is as good.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(place: Place<'_>) -> Result<Listener> {
        Listener::open(place, Purpose { what: "tests", remedy: "none" })
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_is_for_owner_and_group_and_goes_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = open(Place::Unix(&path)).unwrap();
        assert_eq!(mode(&path), 0o660);
        assert!(listener.wake() && listener.accept().is_ok());
        let names = || fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names(), 1);
        drop(listener);
        assert_eq!(names(), 0);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = open(Place::Unix(&path)).unwrap();
        let error = open(Place::Unix(&path)).err().unwrap().to_string();
        assert!(error.contains("another program listens there"), "{error}");
        // A socket that took this one's place is not this one's to remove.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        let error = open(Place::Unix(&path)).err().unwrap().to_string();
        assert!(error.contains("it is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let nowhere = folder.path().join("none/control.sock");
        assert!(open(Place::Unix(&nowhere)).is_err());
    }

    #[test]
    fn an_address_in_use_is_told() {
        let first = open(Place::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address: SocketAddr = first.address().parse().unwrap();
        let error = open(Place::Tcp(address)).err().unwrap().to_string();
        assert!(error.contains("in use") && error.contains("Remedy"), "{error}");
        assert!(!first.is_remote());
    }
}
