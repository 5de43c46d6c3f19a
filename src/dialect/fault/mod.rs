//! Faults in both directions: the caller's, found in its body; an upstream's, read from its answer; ours, rendered.

mod cap;
mod render;
mod scrub;
mod upstream;

pub use cap::Cap;
pub use render::{Refused, render, render_stream};
pub use upstream::{Kind, UpstreamFault, upstream};

pub(super) use upstream::of_event;

/// What is wrong with a caller's body: always answered 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The stable word for it: `invalid_json`, `invalid_value` or `missing_required_field`.
    pub code: &'static str,
    /// The field it lies in.
    pub param: Option<String>,
    /// What to mend, for the caller.
    pub message: String,
}

pub(super) fn invalid_json(at: usize, param: Option<&str>) -> Fault {
    Fault {
        code: "invalid_json",
        param: param.map(str::to_owned),
        message: format!("The body could not be parsed as JSON: it breaks at byte {at}."),
    }
}

pub(super) fn not_an_object() -> Fault {
    Fault {
        code: "invalid_json",
        param: None,
        message: "The body must be a JSON object.".to_owned(),
    }
}

pub(super) fn too_deep(param: Option<&str>, depth: u32) -> Fault {
    Fault {
        code: "invalid_json",
        param: param.map(str::to_owned),
        message: format!("The body is nested deeper than {depth} levels."),
    }
}

pub(super) fn too_many_fields(most: usize) -> Fault {
    Fault {
        code: "invalid_json",
        param: None,
        message: format!("The body has more than {most} top-level fields."),
    }
}

pub(super) fn duplicate(param: &str) -> Fault {
    Fault {
        code: "invalid_json",
        param: Some(param.to_owned()),
        message: format!("`{param}` is given twice."),
    }
}

pub(super) fn missing(param: &str) -> Fault {
    Fault {
        code: "missing_required_field",
        param: Some(param.to_owned()),
        message: format!("`{param}` is required."),
    }
}

pub(super) fn wrong_type(param: &str, expected: &str) -> Fault {
    Fault {
        code: "invalid_value",
        param: Some(param.to_owned()),
        message: format!("Invalid type for `{param}`: expected {expected}."),
    }
}

pub(super) fn invalid(param: &str, why: &str) -> Fault {
    Fault {
        code: "invalid_value",
        param: Some(param.to_owned()),
        message: format!("Invalid value for `{param}`: {why}."),
    }
}
