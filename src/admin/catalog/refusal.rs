//! What a refused change of the catalog is to the caller.

use crate::{
    admin::error::{ApiError, FieldFault},
    base::Fault,
    control::catalog::{CatalogRefused, ImportRefused},
};

impl From<CatalogRefused> for ApiError {
    fn from(refused: CatalogRefused) -> Self {
        let message = refused.to_string();
        match refused {
            CatalogRefused::Missing => Self::NotFound,
            CatalogRefused::NoSuch(field) => {
                Self::invalid(field, "names something that is not in this catalog")
            }
            CatalogRefused::Faulty(faults) => Self::Invalid(field_faults(&faults)),
            CatalogRefused::Taken => Self::conflict("name_taken", message),
            CatalogRefused::NotExpected => Self::PreconditionFailed,
            CatalogRefused::KeysBound => Self::conflict("keys_bound", message),
            CatalogRefused::NoCustomProviders => {
                Self::conflict("custom_providers_disabled", message)
            }
            CatalogRefused::NothingPending => Self::conflict("nothing_pending", message),
            CatalogRefused::Decided => Self::conflict("already_decided", message),
            CatalogRefused::Negative => Self::unprocessable("negative_price", message),
            CatalogRefused::SealingKeyRetired | CatalogRefused::NotSealed(_) => {
                Self::internal("a provider's key cannot be sealed", &refused)
            }
            CatalogRefused::Store(error) => Self::from(error),
        }
    }
}

impl From<ImportRefused> for ApiError {
    fn from(refused: ImportRefused) -> Self {
        let message = refused.to_string();
        match refused {
            ImportRefused::Faulty(faults) => Self::Invalid(field_faults(&faults)),
            ImportRefused::NoOrganization => Self::NotFound,
            ImportRefused::NoCustomProviders => {
                Self::conflict("custom_providers_disabled", message)
            }
            ImportRefused::NotSealed(_) => {
                Self::internal("a provider's key cannot be sealed", &refused)
            }
            ImportRefused::Store(error) => Self::from(error),
        }
    }
}

/// Tells each fault with its mend.
pub(super) fn field_faults(faults: &[Fault]) -> Vec<FieldFault> {
    let told = faults.iter().map(|fault| {
        let message = format!("{}: {}", fault.what, fault.mend);
        FieldFault::new(fault.path.clone(), message)
    });
    told.collect()
}
