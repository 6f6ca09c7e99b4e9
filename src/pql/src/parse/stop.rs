//! What ends a parse.

use winnow::{error::ParserError, stream::Stream};

use crate::Diagnostic;

/// Why a parser stopped; nothing where it only says "not this way".
#[derive(Clone, Debug)]
pub(crate) struct Stop(Option<Box<Diagnostic>>);

impl Stop {
    pub(crate) fn at(diagnostic: Diagnostic) -> Self {
        Self(Some(Box::new(diagnostic)))
    }

    pub(crate) fn reason(self) -> Option<Diagnostic> {
        self.0.map(|reason| *reason)
    }
}

impl<I: Stream> ParserError<I> for Stop {
    type Inner = Self;

    fn from_input(_: &I) -> Self {
        Self(None)
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}
