//! Events: labels that held long enough, with hysteresis.

use std::time::Duration;

use super::options::EventOptions;
use super::prediction::EndedBy;
use crate::model::Task;

/// An event that is over.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    pub class: usize,
    pub start: Duration,
    pub end: Duration,
    pub peak: f32,
    pub by: EndedBy,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Below `on`.
    Off,
    /// Reached `on` at `since`, not yet for long enough.
    Candidate { since: Duration, peak: f32 },
    /// An event since `since`.
    On { since: Duration, peak: f32 },
}

/// One state machine for each label; of a single-label task, at most one event
/// is on at a time.
pub(super) struct Events {
    on: f32,
    off: f32,
    min_duration: Duration,
    exclusive: bool,
    ignored: Vec<bool>,
    states: Vec<State>,
    last: Duration,
    ended: Vec<Ended>,
}

impl Events {
    pub fn new(options: &EventOptions, labels: &[String], task: Task) -> Self {
        Events {
            on: options.on as f32,
            off: options.off as f32,
            min_duration: options.min_duration.0,
            exclusive: task == Task::SingleLabel,
            ignored: labels.iter().map(|l| options.ignore.contains(l)).collect(),
            states: vec![State::Off; labels.len()],
            last: Duration::ZERO,
            ended: Vec::new(),
        }
    }

    /// Takes the probabilities at stream time `t` and returns the class whose
    /// event is on; where several are, the most probable.
    pub fn next(&mut self, t: Duration, probabilities: &[f32]) -> Option<usize> {
        self.last = t;
        for (class, &p) in probabilities.iter().enumerate() {
            if !self.ignored[class] {
                self.step(class, t, p);
            }
        }
        self.states
            .iter()
            .enumerate()
            .filter(|(_, state)| matches!(state, State::On { .. }))
            .map(|(class, _)| class)
            .reduce(
                |best, class| if probabilities[class] > probabilities[best] { class } else { best },
            )
    }

    fn step(&mut self, class: usize, t: Duration, p: f32) {
        self.states[class] = match self.states[class] {
            State::Off if p >= self.on => State::Candidate { since: t, peak: p },
            State::Off => State::Off,
            State::Candidate { .. } if p < self.off => State::Off,
            State::Candidate { since, peak } => State::Candidate { since, peak: peak.max(p) },
            State::On { since, peak } if p < self.off => {
                self.ended.push(Ended { class, start: since, end: t, peak, by: EndedBy::Off });
                State::Off
            }
            State::On { since, peak } => State::On { since, peak: peak.max(p) },
        };
        if let State::Candidate { since, peak } = self.states[class]
            && t.saturating_sub(since) >= self.min_duration
        {
            if self.exclusive {
                self.end_all(since, EndedBy::Replaced);
            }
            self.states[class] = State::On { since, peak };
        }
    }

    /// Ends every event that is on, no earlier than it began. Candidates stay.
    fn end_all(&mut self, end: Duration, by: EndedBy) {
        for (class, state) in self.states.iter_mut().enumerate() {
            if let State::On { since, peak } = *state {
                self.ended.push(Ended { class, start: since, end: end.max(since), peak, by });
                *state = State::Off;
            }
        }
    }

    /// Ends every event at the time of the last prediction, and forgets the
    /// labels that were about to become one.
    pub fn finish(&mut self, by: EndedBy) {
        self.end_all(self.last, by);
        self.states.fill(State::Off);
    }

    /// The events that ended since the last call, in the order of their end.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::HumanDuration;

    const LABELS: [&str; 3] = ["idle", "wave", "run"];

    fn events(task: Task, on: f64, off: f64) -> Events {
        let options = EventOptions {
            on,
            off,
            min_duration: HumanDuration::seconds(1),
            ignore: vec!["idle".into()],
        };
        Events::new(&options, &LABELS.map(String::from), task)
    }

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_event_needs_its_minimum_duration_and_begins_where_it_reached_on() {
        let mut events = events(Task::SingleLabel, 0.6, 0.4);
        assert_eq!(events.next(s(1.0), &[0.3, 0.7, 0.0]), None);
        assert_eq!(events.next(s(1.9), &[0.5, 0.5, 0.0]), None);
        assert_eq!(events.next(s(2.0), &[0.1, 0.9, 0.0]), Some(1));
        assert_eq!(events.next(s(3.0), &[0.6, 0.4, 0.0]), Some(1), "at off it still holds");
        assert_eq!(events.next(s(4.0), &[0.7, 0.3, 0.0]), None);
        assert_eq!(
            events.take_ended(),
            [Ended { class: 1, start: s(1.0), end: s(4.0), peak: 0.9, by: EndedBy::Off }]
        );
        assert_eq!(events.take_ended(), [], "an event is told once");
    }

    #[test]
    fn a_flicker_is_no_event() {
        let mut events = events(Task::SingleLabel, 0.6, 0.4);
        events.next(s(1.0), &[0.3, 0.7, 0.0]);
        events.next(s(1.5), &[0.7, 0.3, 0.0]);
        assert_eq!(events.next(s(2.5), &[0.3, 0.7, 0.0]), None, "the time counts anew");
        events.finish(EndedBy::End);
        assert_eq!(events.take_ended(), []);
    }

    #[test]
    fn ignored_labels_are_never_events() {
        let mut events = events(Task::SingleLabel, 0.6, 0.4);
        for k in 0..10 {
            assert_eq!(events.next(s(f64::from(k)), &[1.0, 0.0, 0.0]), None);
        }
    }

    #[test]
    fn with_one_label_at_a_time_a_new_event_replaces_the_old() {
        let mut events = events(Task::SingleLabel, 0.3, 0.1);
        events.next(s(0.0), &[0.0, 0.9, 0.1]);
        assert_eq!(events.next(s(1.0), &[0.0, 0.9, 0.1]), Some(1));
        events.next(s(2.0), &[0.0, 0.5, 0.5]);
        assert_eq!(events.next(s(3.0), &[0.0, 0.4, 0.6]), Some(2));
        let ended = events.take_ended();
        assert_eq!((ended[0].class, ended[0].end, ended[0].by), (1, s(2.0), EndedBy::Replaced));
    }

    #[test]
    fn several_labels_may_be_events_at_once_and_the_most_probable_is_named() {
        let mut events = events(Task::MultiLabel, 0.6, 0.4);
        events.next(s(0.0), &[0.0, 0.9, 0.8]);
        assert_eq!(events.next(s(1.0), &[0.0, 0.7, 0.8]), Some(2));
        assert_eq!(events.next(s(2.0), &[0.0, 0.9, 0.8]), Some(1));
        events.next(s(3.0), &[0.0, 0.9, 0.1]);
        assert_eq!(events.take_ended().iter().map(|e| e.class).collect::<Vec<_>>(), [2]);
        events.finish(EndedBy::End);
        let ended = events.take_ended();
        assert_eq!((ended[0].class, ended[0].end, ended[0].by), (1, s(3.0), EndedBy::End));
    }

    #[test]
    fn a_reset_ends_events_at_the_last_prediction() {
        let mut events = events(Task::SingleLabel, 0.6, 0.4);
        events.next(s(1.0), &[0.0, 0.9, 0.0]);
        events.next(s(2.0), &[0.0, 0.9, 0.0]);
        events.finish(EndedBy::Reset);
        assert_eq!(events.take_ended()[0].end, s(2.0));
        assert_eq!(events.next(s(60.0), &[0.0, 0.9, 0.0]), None, "it must hold anew");
    }
}
