//! The folders of one run, as one.

use super::store::{Run, Store, VideoHeader, VideoReader};
use crate::error::{Error, Result};

/// The shards of a run, or its only folder.
pub(super) struct Merged<'a> {
    stores: &'a [Store],
    /// Ids, sorted, with the store that holds each.
    videos: Vec<(String, usize)>,
}

impl<'a> Merged<'a> {
    /// Puts the folders of one run together.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): none was given, they are of
    /// different runs, or a video is in two of them. As [`Store::videos`].
    pub fn new(stores: &'a [Store]) -> Result<Self> {
        let doing = "putting the parts of a run together";
        let Some(first) = stores.first() else {
            return Err(Error::config(doing, "no folder was named"));
        };
        let mut videos = Vec::new();
        for (index, store) in stores.iter().enumerate() {
            if let Some(difference) = first.run().difference(store.run()) {
                let fault = format!(
                    "\"{}\" and \"{}\" are of different runs: {difference}",
                    first.folder().display(),
                    store.folder().display()
                );
                return Err(Error::config(doing, fault).remedy(
                    "name the folders of one run; to set two runs side by side, use --compare",
                ));
            }
            videos.extend(store.videos()?.into_iter().map(|video| (video, index)));
        }
        videos.sort();
        if let Some(pair) = videos.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let folder = |index: usize| stores[index].folder().display();
            let (video, a, b) = (&pair[0].0, folder(pair[0].1), folder(pair[1].1));
            return Err(Error::config(
                doing,
                format!("video \"{video}\" is in \"{a}\" and in \"{b}\""),
            )
            .remedy("name each folder once, and only the shards of one run"));
        }
        Ok(Merged { stores, videos })
    }

    /// What was run.
    pub fn run(&self) -> &'a Run {
        self.stores[0].run()
    }

    /// How many videos the whole run has, if anyone said.
    pub fn planned(&self) -> Option<u64> {
        self.stores.iter().filter_map(|store| store.run().planned).max()
    }

    /// Each finished video's header, in the order of the ids.
    pub fn headers(&self) -> impl Iterator<Item = Result<VideoHeader>> {
        self.videos.iter().map(|(video, store)| {
            self.stores[*store].read(video).map(|reader| reader.header().clone())
        })
    }

    /// Each finished video, in the order of the ids.
    pub fn readers(&self) -> impl Iterator<Item = Result<VideoReader>> {
        self.videos.iter().map(|(video, store)| self.stores[*store].read(video))
    }
}
