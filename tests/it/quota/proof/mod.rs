//! What the scripts promise, against a plain model: thousands of histories in wound time, and spoilt scripts that must
//! be found out.

mod bench;
mod histories;
mod linear;
mod menu;
mod model;
mod mutants;
mod op;
mod recorder;
mod step;
mod truth;
mod world;
