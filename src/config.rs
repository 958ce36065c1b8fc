//! The TOML file as types.
