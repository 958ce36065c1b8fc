//! The `[control]` table.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where labels may be sent while streams run. Nowhere, unless one of the two
/// places is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlOptions {
    /// An address and a port, such as `127.0.0.1:8710`. Port 0 is any that is
    /// free; the log tells which.
    pub listen: Option<String>,
    /// A Unix socket's path. Whoever may write to that file may send labels: its
    /// owner and its group.
    pub socket: Option<PathBuf>,
    /// Let other machines in, too. There is no authentication.
    pub allow_remote: bool,
}

/// The place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place<'a> {
    Tcp(SocketAddr),
    Unix(&'a Path),
}

impl ControlOptions {
    /// Whether a place is named at all.
    pub fn is_on(&self) -> bool {
        self.listen.is_some() || self.socket.is_some()
    }

    /// Whether the values make sense.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        self.place().map(|_| ())
    }

    pub(super) fn place(&self) -> Result<Option<Place<'_>>, (&'static str, String)> {
        match (&self.listen, &self.socket) {
            (Some(_), Some(_)) => {
                Err(("socket", "there is listen, too; expected one of the two".into()))
            }
            (None, Some(path)) if path.file_name().is_none() => Err((
                "socket",
                "it names no file; expected such as \"/run/kinewatch/control.sock\"".into(),
            )),
            (None, Some(path)) => Ok(Some(Place::Unix(path))),
            (Some(listen), None) => self.address(listen).map(|at| Some(Place::Tcp(at))),
            (None, None) if self.allow_remote => {
                Err(("allow_remote", "there is no listen that it could be about".into()))
            }
            (None, None) => Ok(None),
        }
    }

    fn address(&self, listen: &str) -> Result<SocketAddr, (&'static str, String)> {
        let of_name = listen.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let address = match of_name {
            Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            None => listen.parse::<SocketAddr>().map_err(|_| {
                let fault = format!(
                    "\"{listen}\" is no address with a port; expected such as \"127.0.0.1:8710\" or \"[::1]:8710\""
                );
                ("listen", fault)
            })?,
        };
        if !address.ip().to_canonical().is_loopback() && !self.allow_remote {
            let fault = format!(
                "other machines can reach {address}, and nobody is asked who they are: whoever can reach it could label your streams; expected a loopback address such as \"127.0.0.1:8710\", or allow_remote = true beside it"
            );
            return Err(("listen", fault));
        }
        Ok(address)
    }
}

/// The `[status]` table: where a daemon tells how it is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusOptions {
    /// A Unix socket's path, or `"off"`. Without it, one in `$RUNTIME_DIRECTORY`
    /// or `$XDG_RUNTIME_DIR`, where there is such a folder.
    pub socket: Option<PathBuf>,
}

impl StatusOptions {
    /// What stands in the place of a path where nothing is to be told.
    pub const OFF: &str = "off";

    /// Whether nothing is to be told.
    pub fn is_off(&self) -> bool {
        self.socket.as_deref() == Some(Path::new(Self::OFF))
    }

    /// Whether the values make sense.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match &self.socket {
            Some(path) if path.file_name().is_none() => Err((
                "socket",
                "it names no file; expected such as \"/run/kinewatch/status.sock\", or \"off\""
                    .into(),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(toml: &str) -> ControlOptions {
        toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
    }

    #[test]
    fn a_loopback_address_or_a_socket_will_do() {
        for toml in [
            "listen = \"127.0.0.1:8710\"",
            "listen = \"localhost:8710\"",
            "listen = \"[::1]:0\"",
            "listen = \"[::ffff:127.0.0.1]:80\"",
            "socket = \"/run/kinewatch/control.sock\"",
            "listen = \"0.0.0.0:8710\"\nallow_remote = true",
        ] {
            assert_eq!(options(toml).check(), Ok(()), "{toml}");
            assert!(options(toml).is_on());
        }
        assert!(!options("").is_on() && options("").check().is_ok());
    }

    #[test]
    fn other_machines_are_kept_out_unless_they_are_let_in() {
        for address in ["0.0.0.0:8710", "192.168.1.5:8710", "[::]:8710", "[::ffff:10.0.0.1]:1"] {
            let (key, fault) = options(&format!("listen = \"{address}\"")).check().unwrap_err();
            assert_eq!(key, "listen");
            assert!(fault.contains("allow_remote = true"), "{fault}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (toml, key) in [
            ("listen = \"8710\"", "listen"),
            ("listen = \"camera.local:8710\"", "listen"),
            ("listen = \"127.0.0.1\"", "listen"),
            ("socket = \"\"", "socket"),
            ("socket = \"/\"", "socket"),
            ("listen = \"127.0.0.1:1\"\nsocket = \"/tmp/x\"", "socket"),
            ("allow_remote = true", "allow_remote"),
        ] {
            assert_eq!(options(toml).check().unwrap_err().0, key, "{toml}");
        }
        assert!(toml::from_str::<ControlOptions>("port = 1").is_err());
    }
}
