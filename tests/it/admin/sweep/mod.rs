//! Sweeps over every operation of the document: what belongs to others, what nobody may say, who may not.

mod document;
mod extra;
mod given;
mod idor;
mod world;
