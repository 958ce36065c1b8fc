//! The `[predict]` table.

use serde::{Deserialize, Serialize};

use crate::duration::HumanDuration;
use crate::nearest::nearest;

/// How predictions are made from what the model says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PredictOptions {
    /// Sampled frames between two predictions, at least 1.
    pub hop: usize,
    /// Where a live stream's model cannot keep up, `hop` is doubled, up to this, before
    /// predictions are skipped; back again once there is room. `None`: never.
    pub max_hop: Option<usize>,
    /// Classes listed in a prediction, most probable first; at least 1.
    pub top_k: usize,
    /// Smoothing of the probabilities over time.
    #[serde(with = "or_none")]
    pub smooth: Option<SmoothOptions>,
    /// A top-1 probability below this gives no label (0 to 1; 0 always gives one).
    pub abstain: f64,
    /// When a label counts as an event.
    #[serde(with = "or_none")]
    pub events: Option<EventOptions>,
}

impl Default for PredictOptions {
    fn default() -> Self {
        PredictOptions {
            hop: 1,
            max_hop: None,
            top_k: 5,
            // What the model says, when it says it: smoothing is late by its half-life.
            smooth: None,
            abstain: 0.3,
            events: Some(EventOptions::default()),
        }
    }
}

/// Exponential moving average of the probabilities, in stream time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothOptions {
    /// After this long, a past probability weighs half.
    pub half_life: HumanDuration,
}

impl Default for SmoothOptions {
    fn default() -> Self {
        SmoothOptions { half_life: HumanDuration::seconds(1) }
    }
}

/// Hysteresis: an event begins when its probability reaches `on` and stays at
/// or above `off` for `min_duration`; it ends when it falls below `off`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventOptions {
    /// Probability at which an event may begin, 0 to 1.
    pub on: f64,
    /// Probability below which it ends, 0 to `on`.
    pub off: f64,
    /// How long a label must hold before it is an event.
    pub min_duration: HumanDuration,
    /// Labels that are never events, such as one that means that nothing happens.
    pub ignore: Vec<String>,
}

impl Default for EventOptions {
    fn default() -> Self {
        EventOptions {
            on: 0.6,
            off: 0.4,
            min_duration: HumanDuration::seconds(1),
            ignore: Vec::new(),
        }
    }
}

impl PredictOptions {
    /// Refuses impossible values, before the model is known.
    ///
    /// # Errors
    /// The key, below `[predict]`, and the fault.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let probability = |key, value: f64| match value {
            v if (0.0..=1.0).contains(&v) => Ok(()),
            v => Err((key, format!("{v} is no probability; expected a number from 0 to 1"))),
        };
        if self.hop == 0 {
            return Err(("hop", "0 sampled frames between predictions; expected 1 or more".into()));
        }
        if let Some(most) = self.max_hop.filter(|&most| most < self.hop) {
            return Err((
                "max_hop",
                format!("{most} is below hop = {}; expected that or more", self.hop),
            ));
        }
        if self.top_k == 0 {
            return Err(("top_k", "0 classes; expected 1 or more".into()));
        }
        probability("abstain", self.abstain)?;
        if let Some(smooth) = &self.smooth
            && smooth.half_life.0.is_zero()
        {
            return Err((
                "smooth.half_life",
                "a half-life of zero; expected a longer time, or smooth = \"none\"".into(),
            ));
        }
        if let Some(events) = &self.events {
            probability("events.on", events.on)?;
            probability("events.off", events.off)?;
            if events.off > events.on {
                return Err((
                    "events.off",
                    format!(
                        "off = {} lies above on = {}; an event must end below where it begins",
                        events.off, events.on
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The most sampled frames between two predictions that overload may bring.
    pub fn most_hop(&self) -> usize {
        self.max_hop.unwrap_or(self.hop)
    }

    /// Refuses what the model cannot give.
    ///
    /// # Errors
    /// The key, below `[predict]`, and the fault.
    pub fn check_labels(&self, labels: &[String]) -> Result<(), (&'static str, String)> {
        let ignored = self.events.iter().flat_map(|e| &e.ignore);
        for label in ignored {
            if labels.contains(label) {
                continue;
            }
            let mut fault = format!("\"{label}\" is no label of the model");
            if let Some(near) = nearest(label, labels.iter().map(String::as_str)) {
                fault.push_str(&format!("; did you mean \"{near}\"?"));
            }
            return Err(("events.ignore", fault));
        }
        Ok(())
    }
}

/// A table, or the word `"none"`.
mod or_none {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::value::MapAccessDeserializer;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str("none"),
        }
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table or \"none\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "none" => Ok(None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Some)
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PredictOptions, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_documented_form_is_read() {
        let options = read(
            "hop = 2\ntop_k = 3\nsmooth = { half_life = \"2 s\" }\nabstain = 0.5\n\
             events = { on = 0.7, off = 0.2, min_duration = \"500 ms\", ignore = [\"idle\"] }",
        )
        .unwrap();
        assert_eq!((options.hop, options.top_k, options.abstain), (2, 3, 0.5));
        assert_eq!(options.smooth.unwrap().half_life, HumanDuration::seconds(2));
        assert_eq!(options.events.unwrap().ignore, ["idle"]);
    }

    #[test]
    fn none_switches_off_and_leaving_out_gives_the_default() {
        let options = read("smooth = \"none\"\nevents = \"none\"").unwrap();
        assert_eq!((options.smooth, options.events), (None, None));
        assert_eq!(read("").unwrap(), PredictOptions::default());
        assert_eq!(read("events = { on = 0.9 }").unwrap().events.unwrap().off, 0.4);
    }

    #[test]
    fn another_word_or_type_is_refused() {
        for text in ["smooth = \"off\"", "smooth = 3", "events = true"] {
            let error = read(text).unwrap_err();
            assert!(error.message().contains("a table or \"none\""), "{error}");
        }
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        for (text, key) in [
            ("hop = 0", "hop"),
            ("top_k = 0", "top_k"),
            ("abstain = 1.5", "abstain"),
            ("abstain = nan", "abstain"),
            ("smooth = { half_life = \"0 s\" }", "smooth.half_life"),
            ("events = { on = 0.3, off = 0.4 }", "events.off"),
            ("events = { on = 7 }", "events.on"),
            ("events = { off = -0.1 }", "events.off"),
        ] {
            assert_eq!(read(text).unwrap().check().unwrap_err().0, key, "{text}");
        }
        assert_eq!(PredictOptions::default().check(), Ok(()));
    }

    #[test]
    fn an_ignored_label_that_the_model_lacks_is_refused_with_the_nearest() {
        let options = read("events = { ignore = [\"idel\"] }").unwrap();
        let (key, fault) = options.check_labels(&["idle".into(), "wave".into()]).unwrap_err();
        assert_eq!(key, "events.ignore");
        assert!(fault.contains("did you mean \"idle\"?"), "{fault}");
        assert_eq!(options.check_labels(&["idel".into()]), Ok(()));
    }
}
