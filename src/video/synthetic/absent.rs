//! Stands for procedural streams in a build that has none.

use gstreamer_app as gst_app;

use crate::error::{Error, Result};

/// Refuses every procedural stream.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config), always.
pub(crate) fn check(_: &str) -> Result<()> {
    let fault = "this kinewatch was built without synthetic streams";
    Err(Error::config("setting up a synth stream", fault)
        .remedy("take a recording, or build with the feature \"synth\""))
}

/// Never gives a source: [`check`] says why.
pub(crate) fn source(options: &str) -> Result<gst_app::AppSrc> {
    check(options)?;
    Err(Error::internal("setting up a synth stream", "there is none"))
}
