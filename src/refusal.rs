//! Why a request is refused that would be served if there were fewer: the words of metrics and of the log. And what callers
//! are told alike, whoever refuses them.

/// What a caller is told who asks for more than a fair part, wherever it is found out.
pub const TOO_MANY: &str = "too many requests or failed attempts; try again later";

/// What a caller is told while the server has too much to do.
pub const BUSY: &str = "the server is busy; try again later";

/// What a caller is told who asks for a path, or a method, that is not there.
pub const NOTHING_HERE: &str = "nothing is served at this path";

/// Too many, of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// No place is left in a queue.
    QueueFull,
    /// What the caller may have of a queue is taken.
    OwnShare,
    /// It has waited for longer than anybody is to wait.
    WaitedTooLong,
    /// The server is too busy for it.
    Overloaded,
    /// The client asks too often.
    ClientRate,
    /// The source address asks too often.
    SourceRate,
    /// Too many failed to authenticate.
    FailedAuthRate,
}

impl RefusalReason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::OwnShare,
        Self::WaitedTooLong,
        Self::Overloaded,
        Self::ClientRate,
        Self::SourceRate,
        Self::FailedAuthRate,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::OwnShare => "own_share",
            Self::WaitedTooLong => "waited_too_long",
            Self::Overloaded => "overloaded",
            Self::ClientRate => "client_rate",
            Self::SourceRate => "source_rate",
            Self::FailedAuthRate => "failed_auth_rate",
        }
    }

    /// What became of the request: `limited`, for its caller asks for more than a fair part (429), or `shed`, for the server
    /// has too much to do (503).
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::OwnShare | Self::ClientRate | Self::SourceRate | Self::FailedAuthRate => "limited",
            Self::QueueFull | Self::WaitedTooLong | Self::Overloaded => "shed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RefusalReason;

    #[test]
    fn all_are_in_the_order_of_their_declaration() {
        for (index, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
    }
}
