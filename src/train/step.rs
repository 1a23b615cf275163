//! One training step, and one of validation: load, forward, loss, backward, update; on one of several ranks or on the only
//! one. It knows one batch, not epochs.

use std::ops::Range;

use crate::data::{Batch, Loader};
use crate::kernels::AlignedVec;
use crate::loss::{Loss, LossBuffers};
use crate::nn::{Context, Input, Sequential, Update, Workspace};
use crate::optim::{Clip, Optimizer, OptimizerState, clip};
use crate::parallel::comm::Comm;
use crate::train::history::BatchRecord;
use crate::train::observer::{self, Observer};

/// The buffers of a step; they grow to the largest batch seen and stay.
#[derive(Debug, Default)]
pub(super) struct Step {
    batch: Batch,
    workspace: Workspace,
    loss: LossBuffers,
    output_grad: AlignedVec,
    /// What the epoch's training steps showed so far.
    pub observer: Observer,
}

/// What every step of an epoch does.
#[derive(Clone, Copy)]
pub(super) struct StepPlan<'a> {
    pub loss: &'a dyn Loss,
    pub optimizer: &'a dyn Optimizer,
    pub clip: Option<Clip>,
    /// That of the epoch's first batch.
    pub context: Context,
    pub epoch: usize,
    /// Learning rates by batch of the epoch; one for all where they do not differ.
    pub rates: &'a [f32],
}

impl StepPlan<'_> {
    /// The learning rate of a batch of the epoch.
    pub fn lr(&self, batch: usize) -> f32 {
        self.rates[batch.min(self.rates.len() - 1)]
    }
}

impl Step {
    /// One step on `batch`. Of the features, `columns` are those that `model` reads; `comm` adds up what several ranks of
    /// one network have of its sums. `state` is the optimizer's of this rank. `None`, and nothing is changed, where `goes_on`
    /// says no between the forward pass and the update.
    #[expect(clippy::too_many_arguments, reason = "what a step works on, each of another owner")]
    pub fn train(
        &mut self,
        model: &mut Sequential,
        state: &mut OptimizerState,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batch: usize,
        columns: Range<usize>,
        comm: &mut dyn Comm,
        goes_on: &dyn Fn() -> bool,
    ) -> Option<BatchRecord> {
        let context = plan.context.at(plan.epoch, batch);
        let record = self.evaluate(model, plan.loss, &context, loader, batch, columns, comm);
        if !goes_on() {
            return None;
        }
        let Step { batch: x, workspace, loss, output_grad, observer } = self;
        let (lr, simd) = (plan.lr(batch), context.simd);
        observer.forward(workspace, &loss.predictions);
        output_grad.set_len(workspace.output().len());
        let (outputs, output) = (model.out_features(), workspace.output());
        plan.loss.backward(simd, outputs, output, x.targets(), x.weights(), loss, output_grad);
        state.step += 1;
        // Plain descent keeps no gradients, but where they are measured; the parameters' bits are the same either way.
        let (fuses, measures) =
            (plan.optimizer.is_plain() && plan.clip.is_none(), observer::measures_gradients(batch, loader.batches()));
        if fuses && !measures {
            let update = Update::Descend { lr };
            model.backward_with(Input::from(&*x), output_grad, update, &context, workspace, comm);
        } else {
            model.zero_grad();
            model.backward_with(Input::from(&*x), output_grad, Update::Keep, &context, workspace, comm);
            if measures {
                observer.gradients(batch, clip::norm(model, &context, comm));
            }
            if let Some(clip) = plan.clip {
                clip::apply(clip, model, &context, comm);
            }
            state.update(plan.optimizer, lr, simd, model);
            if fuses {
                model.zero_grad();
            }
        }
        Some(record)
    }

    /// The gradient of the sum of the losses of some `samples` of `batch`, into `grads`, overwritten, and their record.
    #[expect(clippy::too_many_arguments, reason = "what a step works on, each of another owner")]
    pub fn gradients(
        &mut self,
        model: &Sequential,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batch: usize,
        samples: Range<usize>,
        comm: &mut dyn Comm,
        grads: &mut AlignedVec,
    ) -> BatchRecord {
        let context = plan.context.at(plan.epoch, batch).starting_at_sample(samples.start);
        loader.load_part(batch, samples, 0..model.in_features(), context.simd, &mut self.batch);
        let record = self.forward(model, plan.loss, &context, comm);
        let Step { batch: x, workspace, loss, output_grad, observer } = self;
        observer.forward(workspace, &loss.predictions);
        // The gradient of the mean of a batch that weighs 1 is that of the sum.
        loss.sums.weight = 1.0;
        output_grad.set_len(workspace.output().len());
        let (outputs, output) = (model.out_features(), workspace.output());
        plan.loss.backward(context.simd, outputs, output, x.targets(), x.weights(), loss, output_grad);
        model.gradients_into(Input::from(&*x), output_grad, &context, workspace, comm, grads);
        record
    }

    /// Loss and correct predictions of `batch`.
    #[expect(clippy::too_many_arguments, reason = "what a step works on, each of another owner")]
    pub fn evaluate(
        &mut self,
        model: &Sequential,
        loss: &dyn Loss,
        context: &Context,
        loader: &Loader<'_>,
        batch: usize,
        columns: Range<usize>,
        comm: &mut dyn Comm,
    ) -> BatchRecord {
        loader.load_columns(batch, columns, context.simd, &mut self.batch);
        self.forward(model, loss, context, comm)
    }

    /// The same of what is loaded.
    fn forward(&mut self, model: &Sequential, loss: &dyn Loss, context: &Context, comm: &mut dyn Comm) -> BatchRecord {
        let x = &self.batch;
        model.forward_with(Input::from(x), context, &mut self.workspace, comm);
        let output = self.workspace.output();
        let outputs = model.out_features();
        loss.forward(context.simd, outputs, output, x.targets(), x.weights(), &mut self.loss).into()
    }

    /// The first layer that gave a value that is not finite in the last step, as far as it is held here.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.workspace.first_not_finite()
    }
}
