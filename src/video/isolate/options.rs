//! What `[[stream]] isolate` may say.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// How a stream's decoder process is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Isolation {
    /// Refuse to run where the kernel has no Landlock, in place of going on
    /// with seccomp alone.
    pub strict: bool,
    /// The most private memory, in bytes, that the process may have; the shared
    /// slots come on top, three eighths of it at most.
    pub memory: u64,
    /// Further files and folders that it may read, absolute.
    pub read: Vec<PathBuf>,
    /// Device files that it may use, absolute, such as `/dev/dri/renderD128`
    /// for a hardware decoder.
    pub devices: Vec<PathBuf>,
}

impl Default for Isolation {
    fn default() -> Self {
        Isolation { strict: false, memory: 1 << 30, read: Vec::new(), devices: Vec::new() }
    }
}

impl Isolation {
    /// Below this the libraries of GStreamer's decoders cannot be loaded.
    const LEAST: u64 = 128 << 20;
    /// No picture of a published format is larger: 8192×5461 pixels of RGB.
    const LARGEST_SLOT: u64 = 128 << 20;

    /// Whether the values make sense.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.memory < Self::LEAST {
            let fault = format!("{} bytes; expected {} or more", self.memory, Self::LEAST);
            return Err(("memory", fault));
        }
        for (key, paths) in [("read", &self.read), ("devices", &self.devices)] {
            if let Some(path) = paths.iter().find(|path| !path.is_absolute()) {
                return Err((key, format!("{path:?}; expected absolute paths")));
            }
        }
        Ok(())
    }

    /// Bytes of one slot of the shared memory.
    pub(super) fn slot(&self) -> u64 {
        // Whole pages.
        (self.memory / 8).min(Self::LARGEST_SLOT) & !4095
    }
}

/// The `isolate` key: `true`, `false`, or a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Isolate(pub Option<Isolation>);

impl<'de> Deserialize<'de> for Isolate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Isolate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a table")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Isolate, E> {
                Ok(Isolate(on.then(Isolation::default)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Isolate, A::Error> {
                Isolation::deserialize(MapAccessDeserializer::new(map))
                    .map(|isolation| Isolate(Some(isolation)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
