//! Metrics that are being made: first the present sessions are counted, then the text is rendered, both in steps.

use std::ops::ControlFlow;

use crate::daemon::census::{Census, Present};
use crate::daemon::metrics::Rendering;
use crate::daemon::service::Volume;
use crate::daemon::service::web::Format;

/// Metrics that are being made.
pub struct Making {
    /// In this format.
    pub format: Format,
    stage: Stage,
}

enum Stage {
    Counting(Census),
    Rendering(Rendering),
}

impl Making {
    /// Begins with the sessions.
    pub fn new(format: Format, census: Census) -> Self {
        Self { format, stage: Stage::Counting(census) }
    }

    /// Goes on for a step: the text, once it is complete. The sessions are as for [`Census::step`].
    pub fn step(
        self,
        end_of_keys: usize,
        present: impl Fn(usize) -> Option<Present>,
    ) -> ControlFlow<String, Self> {
        let Self { format, stage } = self;
        let stage = match stage {
            Stage::Counting(mut census) => {
                if census.step(end_of_keys, present) {
                    Stage::Rendering(Rendering::new(census.end(), format))
                } else {
                    Stage::Counting(census)
                }
            }
            Stage::Rendering(mut rendering) => match rendering.step() {
                Some(text) => return ControlFlow::Break(text),
                None => Stage::Rendering(rendering),
            },
        };
        ControlFlow::Continue(Self { format, stage })
    }

    /// A session has ended: see [`Census::leave`].
    pub fn leave(&mut self, key: usize, listener: usize, volume: Volume) {
        if let Stage::Counting(census) = &mut self.stage {
            census.leave(key, listener, volume);
        }
    }
}
