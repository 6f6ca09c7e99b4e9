//! Sequences of events.

use super::{Context, Node};
use crate::op::{ChainOp, ChainStep, When};

impl<'a, N: Node<'a>> Context<'a, N> {
    /// Whether the steps happened one after the other: each time the earliest possible end is the best one, because what
    /// a step asks for does not depend on the steps before.
    pub(super) fn chain(&mut self, chain: &'a ChainOp) -> bool {
        let single = chain.steps.len() == 1;
        let mut after = None;
        for step in &chain.steps {
            let mut times = Vec::new();
            let mut undated = 0_usize;
            self.each_item(&chain.source, &mut |context, event| {
                let (fits, time) = context.with_element(event, |context| context.fits(chain, step));
                match time {
                    Some(time) if fits && after.is_none_or(|after| time > after) => times.push(time),
                    // An event without a time has no place in an order, and needs none where there is one step.
                    None if fits && single => undated += 1,
                    _ => {}
                }
                // Of one step it is enough to know that it happened often enough.
                !(single && times.len() + undated >= step.count)
            });
            if times.len() + undated < step.count {
                return false;
            }
            if single {
                return true;
            }
            let (_, last, _) = times.select_nth_unstable(step.count - 1);
            after = Some(*last);
        }
        true
    }

    /// Whether the innermost element fits the step, and its time.
    fn fits(&mut self, chain: &'a ChainOp, step: &'a ChainStep) -> (bool, Option<i64>) {
        let time = self.value(&chain.time).micros(self.clock());
        let window = match &step.when {
            None => None,
            Some(When::Absolute(index)) => Some(self.window(*index)),
            Some(When::Relative(spec)) => Some(self.relative(spec)),
        };
        let timely = window.is_none_or(|window| time.is_some_and(|time| window.holds(time)));
        let fits = timely && step.conditions.iter().all(|condition| self.truth(condition));
        (fits, time)
    }
}
