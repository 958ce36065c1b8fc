//! The mode `stateful`: the model itself takes and returns its state, one frame
//! at a time.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::classifier::Classifier;
use super::manifest::StatePair;
use super::network::{Network, Session};
use super::onnx::OnnxFile;
use super::window::no_memory;
use crate::clip::{InputSpec, Layout, Ring};
use crate::error::{Error, Result};

/// Which of a network's inputs and outputs are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wiring {
    /// The input that takes the frame.
    pub frame: usize,
    /// The output that gives the logits.
    pub logits: usize,
    /// Each state's input, and the output that becomes it.
    pub states: Vec<(usize, usize)>,
}

impl Wiring {
    /// Finds out by the manifest's pairs; without any, by name: input `X` takes
    /// what output `X_out` gave; and where no name matches so and there are as
    /// many inputs as outputs, by order, frame and logits first.
    pub fn find(
        inputs: &[&str],
        outputs: &[&str],
        pairs: &[StatePair],
        doing: &str,
    ) -> Result<Self> {
        let fault = |fault: String| Error::config(doing, fault);
        let states: Vec<(usize, usize)> = if pairs.is_empty() {
            let by_name = |(at, input): (usize, &&str)| {
                let twin = format!("{input}_out");
                outputs.iter().position(|output| **output == twin).map(|output| (at, output))
            };
            let named: Vec<_> = inputs.iter().enumerate().filter_map(by_name).collect();
            if named.is_empty() && inputs.len() == outputs.len() {
                (1..inputs.len()).map(|at| (at, at)).collect()
            } else {
                named
            }
        } else {
            let position = |names: &[&str], name: &str, what: &str| {
                names.iter().position(|n| *n == name).ok_or_else(|| {
                    fault(format!("run.state names {what} \"{name}\", which it does not have"))
                        .remedy(format!("it has {}", quoted(names.iter().copied())))
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
        let frames: Vec<usize> =
            (0..inputs.len()).filter(|at| states.iter().all(|(input, _)| input != at)).collect();
        let logits = (0..outputs.len()).find(|at| states.iter().all(|(_, output)| output != at));
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
        Ok(Wiring { frame: *frame, logits, states })
    }

    /// The shapes to run `file` with.
    pub fn shapes(
        &self,
        file: &OnnxFile,
        spec: &InputSpec,
        doing: &str,
    ) -> Result<Vec<Vec<usize>>> {
        let with_time = InputSpec { frames: 1, ..spec.clone() }.clip_shape().to_vec();
        let mut without = with_time.clone();
        without.remove(match spec.layout {
            Layout::NCTHW => 2,
            Layout::NTCHW | Layout::NTHWC => 1,
        });
        file.inputs
            .iter()
            .enumerate()
            .map(|(at, input)| {
                if at == self.frame {
                    let allowed: [&[usize]; 2] = [&with_time, &without];
                    let fits = super::loaded::check_input(input, &allowed, spec, doing)?;
                    return Ok(allowed[fits].to_vec());
                }
                let sized = |(axis, size): (usize, &Option<usize>)| match size {
                    Some(size) => Ok(*size),
                    // An open first axis is the batch.
                    None if axis == 0 => Ok(1),
                    None => Err(Error::config(
                        doing,
                        format!(
                            "the size of state \"{}\" is left open along axis {axis}",
                            input.name
                        ),
                    )
                    .remedy("export the model with fixed sizes")),
                };
                input.shape.iter().enumerate().map(sized).collect()
            })
            .collect()
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

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// A model with state of its own, running over one stream.
pub(super) struct Stateful {
    session: Session,
    network: Arc<Network>,
    wiring: Wiring,
    /// The current states, in the wiring's order; empty before the first frame.
    states: Vec<TValue>,
    /// A ring of one frame: it brings the frame into the layout.
    ring: Ring,
    layout: Layout,
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
        Ok(Stateful {
            session: Session::new(network, doing),
            network: network.clone(),
            wiring: wiring.clone(),
            states: Vec::new(),
            ring: Ring::new(&InputSpec { frames: 1, ..spec.clone() })?,
            layout: spec.layout,
            logits: vec![0.0; classes],
            warm_up,
            seen: 0,
        })
    }

    fn zero(&self, input: usize) -> Result<TValue> {
        let (datum, shape) = &self.network.inputs[input];
        Ok(Tensor::zero_dt(*datum, shape).map_err(no_memory)?.into_tvalue())
    }

    /// The frame as the network's input.
    fn frame(&mut self, frame: &[f32]) -> Result<TValue> {
        self.ring.push(frame)?;
        let (_, shape) = &self.network.inputs[self.wiring.frame];
        let mut tensor = Tensor::zero::<f32>(shape).map_err(no_memory)?;
        let mut view = tensor.try_as_plain_ram_mut().map_err(no_memory)?;
        self.ring.write_clip(self.layout, view.as_slice_mut().map_err(no_memory)?)?;
        Ok(tensor.into_tvalue())
    }
}

impl Classifier for Stateful {
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>> {
        let frame = self.frame(frame)?;
        // States are moved in and out, so that the engine may reuse their memory.
        // A fault on the way leaves none, and warming up begins anew.
        let seen = std::mem::take(&mut self.seen);
        let mut states = std::mem::take(&mut self.states).into_iter();
        let mut inputs: Vec<Option<TValue>> = vec![None; self.network.inputs.len()];
        inputs[self.wiring.frame] = Some(frame);
        for &(input, _) in &self.wiring.states {
            inputs[input] = Some(match states.next() {
                Some(state) => state,
                None => self.zero(input)?,
            });
        }
        let outputs = self.session.run(inputs.into_iter().flatten().collect())?;
        self.session.read(&outputs[self.wiring.logits], &mut self.logits)?;
        let mut outputs: Vec<Option<TValue>> = outputs.into_iter().map(Some).collect();
        self.states =
            self.wiring.states.iter().filter_map(|&(_, output)| outputs[output].take()).collect();
        self.seen = (seen + 1).min(self.warm_up);
        Ok((due && self.seen == self.warm_up).then_some(&self.logits))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(input: &str, output: &str) -> StatePair {
        StatePair { input: input.into(), output: output.into() }
    }

    fn find(inputs: &[&str], outputs: &[&str], pairs: &[StatePair]) -> Result<Wiring> {
        Wiring::find(inputs, outputs, pairs, "loading")
    }

    #[test]
    fn states_are_paired_by_name_in_any_order() {
        let found =
            find(&["state_1", "frame", "state_0"], &["state_0_out", "y", "state_1_out"], &[]);
        assert_eq!(found.unwrap(), Wiring { frame: 1, logits: 1, states: vec![(0, 2), (2, 0)] });
    }

    #[test]
    fn states_without_matching_names_are_paired_in_order() {
        let found = find(&["x", "a", "b"], &["y", "c", "d"], &[]).unwrap();
        assert_eq!(found, Wiring { frame: 0, logits: 0, states: vec![(1, 1), (2, 2)] });
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
