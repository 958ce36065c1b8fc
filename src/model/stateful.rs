//! The mode `stateful`: the model itself takes and returns its state, one frame
//! at a time.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::classifier::Classifier;
use super::input::{FrameInput, no_memory};
use super::loaded::{Allowed, check_input};
use super::manifest::{Run, StatePair};
use super::network::{Network, Session};
use super::onnx::{OnnxFile, quoted};
use super::profile::Profile;
use crate::clip::InputSpec;
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Which of a network's inputs and outputs are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wiring {
    /// The input that takes the frame.
    pub frame: usize,
    /// The output that gives the logits.
    pub logits: usize,
    /// Whether the file's order alone says what is what.
    pub by_order: bool,
    /// Each state's input, and the output that becomes it, in the inputs' order.
    pub states: Vec<(usize, usize)>,
}

impl Wiring {
    /// Finds out by the manifest's pairs; without any, by name: input `X` takes
    /// what output `X_out` gave; and where no name matches so and there are as
    /// many inputs as outputs, by order, frame and logits first.
    pub fn find(file: &OnnxFile, run: &Run, doing: &str) -> Result<Self> {
        let stored = |pair: &&StatePair| file.is_stored(&pair.input);
        if let Some(pair) = run.state.iter().find(stored) {
            return Err(Error::config(
                doing,
                format!(
                    "run.state names input \"{}\", which has a value of its own in the file",
                    pair.input
                ),
            )
            .remedy("export the model again with its states as inputs; they start as zeros"));
        }
        let inputs: Vec<&str> = file.inputs.iter().map(|input| input.name.as_str()).collect();
        let outputs: Vec<&str> = file.outputs.iter().map(String::as_str).collect();
        Self::pair(&inputs, &outputs, run, doing)
    }

    fn pair(inputs: &[&str], outputs: &[&str], run: &Run, doing: &str) -> Result<Self> {
        let pairs = run.state.as_slice();
        let fault = |fault: String| Error::config(doing, fault);
        let mut by_order = false;
        let mut states: Vec<(usize, usize)> = if pairs.is_empty() {
            let by_name = |(at, input): (usize, &&str)| {
                let twin = format!("{input}_out");
                outputs.iter().position(|output| **output == twin).map(|output| (at, output))
            };
            let named: Vec<_> = inputs.iter().enumerate().filter_map(by_name).collect();
            if named.is_empty() && inputs.len() == outputs.len() {
                by_order = true;
                (1..inputs.len()).map(|at| (at, at)).collect()
            } else {
                named
            }
        } else {
            let position = |names: &[&str], name: &str, what: &str| {
                names.iter().position(|n| *n == name).ok_or_else(|| {
                    fault(format!("run.state names {what} \"{name}\", which it does not have"))
                        .remedy(match nearest(name, names.iter().copied()) {
                            Some(meant) => format!("did you mean \"{meant}\"?"),
                            None => format!("it has {}", quoted(names.iter().copied())),
                        })
                })
            };
            pairs
                .iter()
                .map(|pair| {
                    let input = position(inputs, &pair.input, "input")?;
                    Ok((input, position(outputs, &pair.output, "output")?))
                })
                .collect::<Result<_>>()?
        };
        if states.is_empty() {
            return Err(fault(format!(
                "it takes and returns no state: inputs {}, outputs {}",
                quoted(inputs.iter().copied()),
                quoted(outputs.iter().copied())
            ))
            .remedy("run it in mode \"window\", or pair its states with [[run.state]]"));
        }
        states.sort_unstable();
        let frames: Vec<usize> =
            (0..inputs.len()).filter(|at| states.iter().all(|(input, _)| input != at)).collect();
        // An output that the manifest names may be a state as well: it is looked up
        // once the network stands.
        let logits = match run.logits {
            Some(_) => Some(0),
            None => (0..outputs.len()).find(|at| states.iter().all(|(_, output)| output != at)),
        };
        let ([frame], Some(logits)) = (frames.as_slice(), logits) else {
            let left = quoted(frames.iter().map(|&at| inputs[at]));
            return Err(fault(if logits.is_none() {
                "every output is a state; none is left for the logits".into()
            } else {
                format!(
                    "one input must be left for the frame once states are paired, but {left} are"
                )
            })
            .remedy("pair every state with [[run.state]] input = \"…\" output = \"…\""));
        };
        Ok(Wiring { frame: *frame, logits, by_order, states })
    }

    /// The shapes to run `file` with.
    pub fn shapes(
        &self,
        file: &OnnxFile,
        spec: &InputSpec,
        run: &Run,
        doing: &str,
    ) -> Result<Vec<Vec<usize>>> {
        let allowed = FrameInput::shapes(spec);
        let frame = &file.inputs[self.frame];
        let by_manifest = Allowed::by_manifest(&allowed, spec);
        let fits = check_input(frame, by_manifest, doing).map_err(|error| match self.by_order {
            false => error,
            true => error.remedy(
                "it was taken for the frame because it is the first and no state has the name of \
                 an output: pair every state with [[run.state]], or correct [input] in model.toml",
            ),
        })?;
        let frame_shape = &allowed[fits];
        // An axis of a state that is named as one of the frame's is as long as that one.
        let named: Vec<(&str, usize)> = frame
            .axes
            .iter()
            .zip(frame_shape)
            .filter_map(|(name, &size)| Some((name.as_deref()?, size)))
            .collect();
        let mut shapes = vec![frame_shape.clone(); file.inputs.len()];
        for &(at, output) in &self.states {
            let input = &file.inputs[at];
            let given = run.state.iter().find(|pair| pair.input == input.name);
            let given = given.and_then(|pair| pair.shape.as_deref());
            let fits = |given: &[usize]| {
                let sizes = || input.shape.iter().zip(given);
                given.len() == input.shape.len()
                    && sizes().all(|(size, given)| size.is_none_or(|size| size == *given))
            };
            if let Some(given) = given.filter(|given| !fits(given)) {
                return Err(Error::config(
                    doing,
                    format!(
                        "run.state says that \"{}\" is {given:?}, but the file says {}",
                        input.name,
                        input.sizes()
                    ),
                ));
            }
            let size = |(axis, declared): (usize, &Option<usize>)| {
                let name = input.axes.get(axis).and_then(Option::as_deref);
                let by_name =
                    || named.iter().find(|(n, _)| Some(*n) == name).map(|(_, size)| *size);
                declared
                    .or_else(|| given?.get(axis).copied())
                    .or_else(by_name)
                    .or_else(|| file.output_size(output, axis))
                    // An open first axis is the batch.
                    .or((axis == 0).then_some(1))
                    .ok_or_else(|| {
                        Error::config(
                            doing,
                            format!(
                                "the size of state \"{}\" is left open along axis {axis}: {}",
                                input.name,
                                input.sizes()
                            ),
                        )
                        .remedy(
                            "give its shape under [[run.state]], or export the model with fixed sizes",
                        )
                    })
            };
            shapes[at] = input.shape.iter().enumerate().map(size).collect::<Result<_>>()?;
        }
        Ok(shapes)
    }

    /// Whether every state comes back as it went in.
    pub fn check(&self, network: &Network, doing: &str) -> Result<()> {
        for &(input, output) in &self.states {
            let (before, after) = (&network.inputs[input], &network.outputs[output]);
            if before != after {
                let (from, to) = (&network.facts.inputs[input], &network.facts.outputs[output]);
                return Err(Error::config(
                    doing,
                    format!(
                        "state \"{}\" is {} {:?}, but \"{}\", which becomes it, is {} {:?}",
                        from.name, from.datum, from.shape, to.name, to.datum, to.shape
                    ),
                )
                .remedy("pair each state's input with its own output under [[run.state]]"));
            }
        }
        Ok(())
    }
}

/// A model with state of its own, running over one stream.
pub(super) struct Stateful {
    session: Session,
    network: Arc<Network>,
    wiring: Wiring,
    /// The current states, in the wiring's order; empty before the first frame and
    /// after a fault.
    states: Vec<TValue>,
    frame: FrameInput,
    logits: Vec<f32>,
    warm_up: usize,
    /// Frames since the last reset, up to `warm_up`.
    seen: usize,
}

impl Stateful {
    pub fn new(
        network: &Arc<Network>,
        wiring: &Wiring,
        spec: &InputSpec,
        warm_up: usize,
        classes: usize,
        doing: String,
    ) -> Result<Self> {
        let (_, frame) = &network.inputs[wiring.frame];
        Ok(Stateful {
            session: Session::new(network, doing),
            network: network.clone(),
            wiring: wiring.clone(),
            states: Vec::with_capacity(wiring.states.len()),
            frame: FrameInput::new(spec, frame)?,
            logits: vec![0.0; classes],
            warm_up,
            seen: 0,
        })
    }

    /// The network's inputs for this frame. The states are moved out, so that the
    /// engine may reuse their memory, and none are left.
    fn inputs(&mut self, frame: &[f32]) -> Result<TVec<TValue>> {
        let frame = self.frame.take(frame)?;
        let mut inputs: TVec<TValue> = self.states.drain(..).collect();
        if inputs.is_empty() {
            for &(input, _) in &self.wiring.states {
                let (datum, shape) = &self.network.inputs[input];
                inputs.push(Tensor::zero_dt(*datum, shape).map_err(no_memory)?.into_tvalue());
            }
        }
        // Every other input is a state, and states are in the inputs' order.
        inputs.insert(self.wiring.frame, frame);
        Ok(inputs)
    }
}

impl Classifier for Stateful {
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>> {
        // A fault on the way leaves no states, and warming up begins anew.
        let seen = (std::mem::take(&mut self.seen) + 1).min(self.warm_up);
        let inputs = self.inputs(frame).inspect_err(|_| self.states.clear())?;
        let outputs = self.session.run(inputs)?;
        // Before it is warm a network may well divide by a count of zero. After that
        // every frame is judged, due or not: a state that is not finite shows here, and
        // must not be carried on for ever.
        let warm = seen == self.warm_up;
        if warm {
            self.session.read(&outputs[self.wiring.logits], &mut self.logits)?;
        }
        let states = self.wiring.states.iter().map(|&(_, output)| outputs[output].clone());
        self.states.extend(states);
        self.seen = seen;
        Ok((due && warm).then_some(&self.logits))
    }

    fn reset(&mut self) {
        self.states.clear();
        self.seen = 0;
    }

    fn warm_up(&self) -> usize {
        self.warm_up
    }

    fn needs_every_frame(&self) -> bool {
        true
    }

    fn start_profile(&mut self) {
        self.session.start_profile();
    }

    fn take_profile(&mut self) -> Option<Profile> {
        self.session.take_profile()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(input: &str, output: &str) -> StatePair {
        StatePair { input: input.into(), output: output.into(), shape: None }
    }

    fn find(inputs: &[&str], outputs: &[&str], pairs: &[StatePair]) -> Result<Wiring> {
        Wiring::pair(inputs, outputs, &Run { state: pairs.to_vec(), ..Run::default() }, "loading")
    }

    #[test]
    fn states_are_paired_by_name_in_any_order() {
        let found =
            find(&["state_1", "frame", "state_0"], &["state_0_out", "y", "state_1_out"], &[]);
        assert_eq!(
            found.unwrap(),
            Wiring { frame: 1, logits: 1, by_order: false, states: vec![(0, 2), (2, 0)] }
        );
    }

    #[test]
    fn states_without_matching_names_are_paired_in_order() {
        let found = find(&["x", "a", "b"], &["y", "c", "d"], &[]).unwrap();
        assert_eq!(
            found,
            Wiring { frame: 0, logits: 0, by_order: true, states: vec![(1, 1), (2, 2)] }
        );
    }

    #[test]
    fn the_manifests_pairs_win() {
        let found = find(&["x", "a", "b"], &["y", "c", "d"], &[pair("a", "d"), pair("b", "c")]);
        assert_eq!(found.unwrap().states, [(1, 2), (2, 1)]);
    }

    #[test]
    fn what_cannot_be_paired_is_named() {
        let text = find(&["x", "a", "b"], &["y", "a_out"], &[]).unwrap_err().to_string();
        assert!(text.contains("\"x\", \"b\"") && text.contains("[[run.state]]"), "{text}");
        let text = find(&["x", "a"], &["y", "c"], &[pair("a", "z")]).unwrap_err().to_string();
        assert!(text.contains("output \"z\"") && text.contains("\"y\", \"c\""), "{text}");
        let text = find(&["x"], &["y"], &[]).unwrap_err().to_string();
        assert!(text.contains("no state"), "{text}");
        let text = find(&["x", "a"], &["a_out"], &[]).unwrap_err().to_string();
        assert!(text.contains("none is left for the logits"), "{text}");
    }
}
