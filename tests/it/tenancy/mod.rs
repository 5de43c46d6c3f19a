//! Organizations and their people over the running sidecar, seen by running proxies where it matters.

pub mod crew;

mod invitations;
mod keys;
mod limits;
mod members;
mod optimization;
mod organizations;
mod roles;
mod tenants;
