//! Layers one after another: the forward and the backward pass. It knows which sums have parts, not who computes them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::builder::Builder;
use super::elementwise::{Dropout, Elementwise, Place};
use super::linear::Kernel;
use super::params::{ParamEntry, Params};
use super::{Context, DataSpec, Init, Input, LayerSpec, LayerSpecs, Linear, Mode, ReluGrad, Workspace};
use crate::error::{Error, Result};
use crate::kernels::compressed::Compressed;
use crate::kernels::panels::{self, PANEL};
use crate::kernels::{AlignedVec, KernelChoice, LANES, Output, Rows, activations};
use crate::parallel::choice::Traffic;
use crate::parallel::comm::Comm;
use crate::parallel::shard::{self, Axis, Cut};
use crate::rng::{self, Stream};

/// One layer, and where its part of the flat buffer stands.
#[derive(Debug, Clone)]
enum Layer {
    Linear { linear: Linear, span: Range<usize>, cut: Cut },
    Elementwise { layer: Arc<dyn Elementwise>, first_unit: usize },
}

/// A network: the output of each layer is the input of the next; the last one's is the network's.
///
/// It holds parameters and their gradients only. What a pass leaves between the layers stands in a [`Workspace`], so
/// that several threads can read one network; the SIMD level and the mode come with a [`Context`].
#[derive(Debug, Clone)]
pub struct Sequential {
    specs: LayerSpecs,
    layers: Vec<Layer>,
    in_features: usize,
    /// Width of each layer's output.
    widths: Vec<usize>,
    relu_grad: ReluGrad,
    params: Params,
    /// In the layout of the parameters; empty before the first gradient.
    grads: AlignedVec,
    /// Whether the gradients hold anything; as in PyTorch, zeroing them means forgetting them.
    has_grads: bool,
    data: Option<DataSpec>,
}

/// What the backward pass does with the gradients of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Update {
    /// They are added to those that the network keeps.
    Keep,
    /// Each is used up as soon as it is complete: `parameter = fma(-lr, gradient, parameter)`.
    Descend { lr: f32 },
}

/// One parameter tensor of a network.
#[derive(Debug, Clone, Copy)]
pub struct Parameter<'a> {
    model: &'a Sequential,
    index: usize,
}

impl Parameter<'_> {
    /// `0.weight`, `0.bias`, ...: the layer's index in the list of layers, as PyTorch's `Sequential` names it.
    pub fn name(&self) -> &str {
        &self.model.params.entries[self.index].name
    }

    /// `[out_features, in_features]` of a weight, `[out_features]` of a bias.
    pub fn shape(&self) -> &[usize] {
        &self.model.params.entries[self.index].shape
    }

    /// Row-major. A copy: a layer keeps its weight in the order of its kernel.
    pub fn values(&self) -> Vec<f32> {
        self.model.params.entries[self.index].to_rows(&self.model.params.values)
    }

    /// The gradient of the loss with respect to it, row-major; none since the last [`Sequential::zero_grad`].
    pub fn gradient(&self) -> Option<Vec<f32>> {
        self.model.has_grads.then(|| self.model.params.entries[self.index].to_rows(&self.model.grads))
    }
}

impl Sequential {
    /// Begins a network for samples of `in_features`: describe its layers, then [`build`](Builder::build) it.
    #[expect(clippy::new_ret_no_self, reason = "a network begins with its inputs; what it is made of follows")]
    pub fn new(in_features: usize) -> Builder {
        Builder::new(in_features)
    }

    /// A network whose parameters are all 0; an error where it would have no linear layer, no inputs, or more weights than
    /// fit in memory, before anything is allocated.
    pub(crate) fn zeros(
        in_features: usize,
        specs: LayerSpecs,
        relu_grad: ReluGrad,
        kernel: KernelChoice,
    ) -> Result<Self> {
        const MAX_WEIGHTS: usize = 1 << 30;
        let refuse = |place: String, expected: String, found: String| Err(Error::Shape { place, expected, found });
        if in_features == 0 {
            return refuse("a network".into(), "at least 1 input".into(), "0".into());
        }
        specs.check_depth()?;
        let mut shapes = Vec::new();
        let (mut width, mut weights) = (in_features, 0_usize);
        for (index, spec) in specs.0.iter().enumerate() {
            let out_features = spec.out_features(width);
            if matches!(spec, LayerSpec::Linear { .. }) {
                let total = width.checked_mul(out_features).and_then(|more| weights.checked_add(more));
                match total.filter(|total| *total <= MAX_WEIGHTS) {
                    Some(total) => weights = total,
                    None => {
                        let found = format!("{width} x {out_features}");
                        return refuse(
                            format!("layer {index} ({spec})"),
                            format!("at most {MAX_WEIGHTS} weights"),
                            found,
                        );
                    }
                }
                shapes.push((width, out_features));
            }
            width = out_features;
        }
        if shapes.is_empty() {
            let found = format!("{} layers without one", specs.0.len());
            return refuse("a network".into(), "at least one linear layer".into(), found);
        }
        let mut parts = shapes.iter().zip(shard::plan(&shapes));
        let mut layers = Vec::with_capacity(specs.0.len());
        for spec in &specs.0 {
            layers.push(match spec {
                LayerSpec::Linear { .. } => {
                    let Some((&(width, out_features), cut)) = parts.next() else { break };
                    Layer::Linear { linear: Linear::new(width, out_features, kernel), span: 0..0, cut }
                }
                LayerSpec::Activation { spec } => {
                    Layer::Elementwise { layer: Arc::new(activations::parse(spec, relu_grad)?), first_unit: 0 }
                }
                LayerSpec::Dropout { p } => Layer::Elementwise { layer: Arc::new(Dropout { p: *p }), first_unit: 0 },
            });
        }
        Ok(Self::from_layers(in_features, specs, layers, relu_grad))
    }

    /// Lays the parameters of `layers`, all 0, out one after another.
    fn from_layers(in_features: usize, specs: LayerSpecs, mut layers: Vec<Layer>, relu_grad: ReluGrad) -> Self {
        let (mut width, mut widths, mut entries) = (in_features, Vec::new(), Vec::new());
        let mut end = 0;
        for (index, layer) in layers.iter_mut().enumerate() {
            if let Layer::Linear { linear, span, .. } = layer {
                entries.extend(linear.entries(index, end));
                let start = end;
                end = super::params::aligned(entries.last().map_or(0, |entry| entry.range.end));
                *span = start..end;
                width = linear.out_features();
            }
            widths.push(width);
        }
        let params = Params::zeros(entries);
        Sequential {
            specs,
            layers,
            in_features,
            widths,
            relu_grad,
            params,
            grads: AlignedVec::default(),
            has_grads: false,
            data: None,
        }
    }

    /// Draws all parameters, layer by layer.
    pub(crate) fn draw(&mut self, init: Init, seed: u64) {
        let mut rng = rng::stream(seed, Stream::Init);
        let Params { values, entries } = &mut self.params;
        for [weight, bias] in entries.as_chunks::<2>().0 {
            let (mut weight_values, mut bias_values) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
            init.draw(&mut rng, &mut weight_values, &mut bias_values);
            weight.write_rows(&weight_values, values);
            bias.write_rows(&bias_values, values);
        }
    }

    /// Features of a sample that it takes.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Width of the output: the number of classes, of labels or of values.
    pub fn out_features(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.in_features)
    }

    /// What it is made of.
    pub fn specs(&self) -> &LayerSpecs {
        &self.specs
    }

    /// Which gradient its ReLUs pass back.
    pub fn relu_grad(&self) -> ReluGrad {
        self.relu_grad
    }

    /// What is known of the data that it was trained on; it travels with a saved model.
    pub fn data(&self) -> Option<&DataSpec> {
        self.data.as_ref()
    }

    /// Says what its inputs and classes are; training does.
    pub fn set_data(&mut self, data: DataSpec) {
        self.data = Some(data);
    }

    /// The linear layers, in order.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Linear { linear, .. } => Some(linear),
            Layer::Elementwise { .. } => None,
        })
    }

    fn cuts(&self) -> impl Iterator<Item = (&Linear, &Cut)> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Linear { linear, cut, .. } => Some((linear, cut)),
            Layer::Elementwise { .. } => None,
        })
    }

    /// The parameter tensors in layer order, a weight before its bias.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter<'_>> + Clone {
        (0..self.params.entries.len()).map(|index| Parameter { model: self, index })
    }

    /// The parameter tensor of this name, such as `0.weight`.
    pub fn parameter(&self, name: &str) -> Option<Parameter<'_>> {
        self.parameters().find(|parameter| parameter.name() == name)
    }

    /// How many numbers it learns.
    pub fn parameter_count(&self) -> usize {
        self.params.entries.iter().map(super::params::ParamEntry::len).sum()
    }

    /// Replaces a parameter tensor. `values`: row-major, as [`Parameter::values`] gives them.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no tensor of this name, or it has another number of values.
    pub fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let refuse = |expected: String, found: String| Err(Error::Shape { place: name.into(), expected, found });
        let Params { values: buffer, entries } = &mut self.params;
        match entries.iter().find(|entry| entry.name == name) {
            None => refuse("a parameter of the network".into(), "no such tensor".into()),
            Some(entry) if entry.len() != values.len() => {
                refuse(format!("{} values ({:?})", entry.len(), entry.shape), values.len().to_string())
            }
            Some(entry) => {
                entry.write_rows(values, buffer);
                Ok(())
            }
        }
    }

    /// The same network for other kernels; results differ by roundings. Gradients are forgotten.
    ///
    /// # Errors
    /// None that the network itself has not been held to.
    pub fn with_kernel(&self, kernel: KernelChoice) -> Result<Self> {
        let mut model = Self::zeros(self.in_features, self.specs.clone(), self.relu_grad, kernel)?;
        for (own, other) in self.params.entries.iter().zip(&model.params.entries) {
            other.write_rows(&own.to_rows(&self.params.values), &mut model.params.values);
        }
        model.data = self.data.clone();
        Ok(model)
    }

    /// A layer's name for people: its index and what it is.
    pub fn layer_name(&self, index: usize) -> String {
        format!("layer {index} ({})", self.specs.0[index])
    }

    /// The kernels that its linear layers run on, joined by `+`: `narrow` for few outputs, `wide` for many, and `gemm`.
    pub fn kernel_name(&self) -> &'static str {
        let has = |kernel| self.linears().any(|linear| linear.kernel() == kernel);
        match (has(Kernel::Narrow), has(Kernel::Wide), has(Kernel::Gemm)) {
            (true, false, false) => "narrow",
            (true, true, false) => "narrow+wide",
            (true, false, true) => "narrow+gemm",
            (true, true, true) => "narrow+wide+gemm",
            (false, true, false) => "wide",
            (false, true, true) => "wide+gemm",
            (false, false, _) => "gemm",
        }
    }

    /// Whether it takes this batch as it is, zeros left out or not.
    fn takes(&self, x: Input<'_>) -> bool {
        match (self.layers.first(), x) {
            (_, Input::Dense(_)) => true,
            (Some(Layer::Linear { linear, .. }), _) => linear.kernel() != Kernel::Gemm,
            _ => false,
        }
    }

    /// Whether its first layer has many outputs, and leaves out zeros number by number.
    fn is_wide(&self) -> bool {
        matches!(self.layers.first(), Some(Layer::Linear { linear, .. }) if linear.kernel() == Kernel::Wide)
    }

    /// Runs a batch through all layers and returns the output, `[m, out_features]`. `x: [m, in_features]`, read.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows of `in_features`.
    pub fn forward<'x, 'w>(
        &self,
        x: impl Into<Input<'x>>,
        context: &Context,
        workspace: &'w mut Workspace,
    ) -> &'w [f32] {
        let mut local = std::mem::take(&mut workspace.local);
        self.forward_with(x.into(), context, workspace, &mut local);
        workspace.local = local;
        workspace.output()
    }

    /// Adds to every gradient. `x`, `context` and `workspace` are those of the last [`Self::forward`];
    /// `output_grad: [m, out_features]` is the gradient of the loss with respect to the output.
    ///
    /// # Panics
    /// If there was no forward pass of that batch with this workspace, or `output_grad` has another length.
    pub fn backward<'x>(
        &mut self,
        x: impl Into<Input<'x>>,
        output_grad: &[f32],
        context: &Context,
        workspace: &mut Workspace,
    ) {
        let x = x.into();
        let len = x.samples(self.in_features) * self.out_features();
        assert!(
            workspace.outputs.len() == self.layers.len() && workspace.output().len() == len,
            "backward needs the forward pass of the same batch, with the same workspace, before it"
        );
        assert!(output_grad.len() == len, "output_grad has {} values, expected {len}", output_grad.len());
        let mut local = std::mem::take(&mut workspace.local);
        self.backward_with(x, output_grad, Update::Keep, context, workspace, &mut local);
        workspace.local = local;
    }

    /// Forgets all gradients: the next [`Self::backward`] starts them anew.
    pub fn zero_grad(&mut self) {
        self.has_grads = false;
    }

    /// [`Self::forward`] on one of several ranks; the output is complete on each of them.
    pub(crate) fn forward_with(&self, x: Input<'_>, context: &Context, workspace: &mut Workspace, comm: &mut dyn Comm) {
        let (m, simd) = (x.samples(self.in_features), context.simd);
        let Workspace { input, blocks, outputs, compressed, .. } = workspace;
        let x = match x {
            Input::FewRows(rows) if !self.is_wide() => {
                blocks.fill(rows);
                Input::SparseRows(blocks.rows())
            }
            Input::BitRows(rows) if !self.is_wide() => {
                blocks.fill_from_bits(simd, rows);
                Input::SparseRows(blocks.rows())
            }
            x => x,
        };
        let x = if self.takes(x) { x.rows() } else { Rows::Dense(x.dense(self.in_features, input)) };
        outputs.resize_with(self.layers.len(), AlignedVec::default);
        compressed.resize_with(self.layers.len(), Compressed::default);
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, rest) = outputs.split_at_mut(index);
            let (input, output) = (before.last().map_or(x, |output| Rows::Dense(output)), &mut rest[0]);
            output.set_len(m * self.widths[index]);
            match layer {
                Layer::Linear { linear, span, cut } => {
                    let params = &self.params.values[span.clone()];
                    let columns = context.mode == Mode::Train;
                    let input = linear.operand(simd, input, linear.in_features(), columns, &mut compressed[index]);
                    match cut.axis {
                        Axis::Features
                            if comm.is_alone() && linear.multiply_parts(simd, params, input, cut.bounds(), output) => {}
                        Axis::Features => comm.all_reduce(simd, &cut.parts, output, &mut |part, z| {
                            linear.multiply(simd, params, input, cut.range(part), z);
                        }),
                        Axis::Units => linear.multiply(simd, params, input, 0..linear.in_features(), output),
                    }
                    linear.add_bias(simd, params, output);
                }
                Layer::Elementwise { layer, first_unit } => {
                    let place = Place { layer: index, first_unit: *first_unit, units: self.widths[index] };
                    layer.forward(context, place, input.values(), output);
                }
            }
        }
    }

    /// [`Self::backward`] on one of several ranks, or a step of plain gradient descent with it.
    pub(crate) fn backward_with(
        &mut self,
        x: Input<'_>,
        loss_grad: &[f32],
        update: Update,
        context: &Context,
        workspace: &mut Workspace,
        comm: &mut dyn Comm,
    ) {
        let (is_taken, is_wide) = (self.takes(x), self.is_wide());
        let Sequential { layers, widths, in_features, params, grads, has_grads, .. } = self;
        let gradient = match update {
            Update::Descend { lr } => Gradient::Descend { lr, params: &mut params.values },
            Update::Keep => {
                let output = if *has_grads { Output::Accumulate } else { Output::Overwrite };
                grads.set_len(params.values.len());
                *has_grads = true;
                Gradient::Keep { params: &params.values, grads, output }
            }
        };
        Backward { layers, widths, in_features: *in_features, is_taken, is_wide }
            .run(x, loss_grad, gradient, context, workspace, comm);
    }

    /// [`Self::backward`] into a buffer of the caller's, overwritten, in place of the network's own gradients: several threads
    /// have a network in common, and each the gradients of its own samples.
    pub(crate) fn gradients_into(
        &self,
        x: Input<'_>,
        loss_grad: &[f32],
        context: &Context,
        workspace: &mut Workspace,
        comm: &mut dyn Comm,
        grads: &mut AlignedVec,
    ) {
        grads.set_len(self.params.values.len());
        let (is_taken, is_wide, params) = (self.takes(x), self.is_wide(), &self.params.values);
        let gradient = Gradient::Keep { params, grads, output: Output::Overwrite };
        let (layers, widths) = (&self.layers, &self.widths);
        Backward { layers, widths, in_features: self.in_features, is_taken, is_wide }
            .run(x, loss_grad, gradient, context, workspace, comm);
    }

    /// Puts gradients that were added up elsewhere, in the layout of the flat buffer, in place of its own; `grads` gets those.
    pub(crate) fn swap_gradients(&mut self, grads: &mut AlignedVec) {
        debug_assert_eq!(grads.len(), self.params.values.len());
        std::mem::swap(&mut self.grads, grads);
        self.has_grads = true;
    }

    // --- for optimizers ---

    /// Floats of the flat buffer.
    pub(crate) fn buffer_len(&self) -> usize {
        self.params.values.len()
    }

    /// Parameters with their gradients, tensor by tensor: `visit(range, bias, parameters, gradients)`, where `range` is the
    /// tensor's place in the flat buffer. Nothing where there are no gradients.
    pub(crate) fn for_each_gradient(&mut self, mut visit: impl FnMut(Range<usize>, bool, &mut [f32], &mut [f32])) {
        if self.has_grads {
            for entry in &self.params.entries {
                let (values, grads) = (&mut self.params.values, &mut self.grads);
                visit(
                    entry.range.clone(),
                    entry.bias,
                    &mut values[entry.range.clone()],
                    &mut grads[entry.range.clone()],
                );
            }
        }
    }

    /// A sum over all gradients, `value(run)` of each contiguous run, whose bits depend on the network's shapes alone: the runs
    /// of each part of a layer are added up, then the parts in their order, whoever holds them, then the layers.
    pub(crate) fn sum_over_gradients(
        &self,
        context: &Context,
        comm: &mut dyn Comm,
        value: impl Fn(&[f32]) -> f64,
    ) -> f64 {
        let mut sum = 0.0;
        for (layer, entries) in self.layers.iter().filter_map(Layer::as_cut).zip(self.params.entries.as_chunks::<2>().0)
        {
            let (linear, cut) = layer;
            let [weight, bias] = entries;
            let (weight_grads, bias_grads) = (&self.grads[weight.range.clone()], &self.grads[bias.range.clone()]);
            let mut total = [0.0];
            comm.all_reduce(context.simd, &cut.parts, &mut total, &mut |part, total| {
                let range = cut.range(part);
                let mut of_part = 0.0;
                for_each_run(linear, cut.axis, &range, |run| of_part += value(&weight_grads[run]));
                if cut.axis == Axis::Units {
                    of_part += value(&bias_grads[range]);
                }
                total[0] = of_part as f32;
            });
            sum += f64::from(total[0]);
            if cut.axis == Axis::Features {
                sum += value(bias_grads);
            }
        }
        sum
    }

    // --- for watching a training ---

    /// The activation layers, in order: index, the first of its units that is held here, and how many are.
    pub(crate) fn activations(&self) -> impl DoubleEndedIterator<Item = (usize, usize, usize)> {
        let layers = self.specs.0.iter().zip(&self.layers).zip(&self.widths).enumerate();
        layers.filter_map(|(index, ((spec, layer), width))| match (spec, layer) {
            (LayerSpec::Activation { .. }, Layer::Elementwise { first_unit, .. }) => Some((index, *first_unit, *width)),
            _ => None,
        })
    }

    /// The largest absolute value of a weight; biases do not count.
    pub(crate) fn largest_weight(&self) -> f32 {
        let larger = |most: f32, value: f32| if value.abs() > most { value.abs() } else { most };
        let mut most = [0.0; LANES];
        for weight in self.params.entries.iter().filter(|entry| !entry.bias) {
            // What a layout adds to a weight is 0.
            let (blocks, rest) = self.params.values[weight.range.clone()].as_chunks::<LANES>();
            for block in blocks {
                most.iter_mut().zip(block).for_each(|(most, value)| *most = larger(*most, *value));
            }
            most[0] = rest.iter().fold(most[0], |most, value| larger(most, *value));
        }
        most.into_iter().fold(0.0, larger)
    }

    // --- for shards ---

    /// The most ranks that its training can be shared among; a matter of its shapes.
    pub(crate) fn max_world_size(&self) -> usize {
        let (shapes, cuts): (Vec<_>, Vec<_>) =
            self.cuts().map(|(linear, cut)| ((linear.in_features(), linear.out_features()), cut)).unzip();
        shard::max_world_size(&shapes, &cuts)
    }

    /// The most parts of one of its sums, and the most floats of a part, for batches of `batch_size`.
    pub(crate) fn largest_sum(&self, batch_size: usize) -> (usize, usize) {
        let shared = || self.cuts().filter(|(_, cut)| cut.parts.total > 1);
        let floats = |(linear, cut): (&Linear, &Cut)| match cut.axis {
            Axis::Features => linear.out_features(),
            Axis::Units => linear.in_features(),
        };
        let parts = shared().map(|(_, cut)| cut.parts.total).max().unwrap_or(0);
        (parts, shared().map(floats).max().unwrap_or(0) * batch_size)
    }

    /// What a step on `batch_size` samples moves, by what it is cut into.
    pub(crate) fn traffic(&self, batch_size: usize) -> Traffic {
        let sums = self.cuts().enumerate().filter(|(_, (_, cut))| cut.parts.total > 1).map(|(index, (linear, cut))| {
            let floats = match cut.axis {
                Axis::Features => linear.out_features(),
                // Nobody asks for the gradient with respect to the data.
                Axis::Units if index == 0 => 0,
                Axis::Units => linear.in_features(),
            };
            floats.saturating_mul(batch_size).saturating_mul(cut.parts.total)
        });
        let features = (self.max_world_size() > 1).then(|| sums.fold(0, usize::saturating_add));
        Traffic { features, parameters: self.parameter_count() }
    }

    /// Which of the data's features rank `rank` of `world_size` reads.
    pub(crate) fn shard_features(&self, rank: usize, world_size: usize) -> Range<usize> {
        match self.cuts().next() {
            Some((_, cut)) if cut.axis == Axis::Features => cut.shard(rank, world_size).0,
            _ => 0..self.in_features,
        }
    }

    /// What rank `rank` of `world_size` has of it, its parameters all 0: a network whose output is complete once its sums
    /// are added to those of the other ranks.
    pub(crate) fn shard(&self, rank: usize, world_size: usize) -> Self {
        let in_features = self.shard_features(rank, world_size);
        let mut first_unit = in_features.start;
        let layers = self.layers.iter().map(|layer| match layer {
            Layer::Linear { linear, cut, .. } => {
                let (range, cut) = cut.shard(rank, world_size);
                let linear = match cut.axis {
                    Axis::Features => {
                        first_unit = 0;
                        linear.resized(range.len(), linear.out_features())
                    }
                    Axis::Units => {
                        first_unit = range.start;
                        linear.resized(linear.in_features(), range.len())
                    }
                };
                Layer::Linear { linear, span: 0..0, cut }
            }
            Layer::Elementwise { layer, .. } => Layer::Elementwise { layer: layer.clone(), first_unit },
        });
        let layers = layers.collect();
        Self::from_layers(in_features.len(), self.specs.clone(), layers, self.relu_grad)
    }

    /// Where the numbers of a rank's shard stand: runs of the whole network's flat buffer, and of the shard's. Gradients and
    /// optimizer slots are cut by them like the parameters.
    pub(crate) fn shard_runs(&self, rank: usize, world_size: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let shard = self.shard(rank, world_size);
        let mut all = Vec::new();
        let entries = self.params.entries.as_chunks::<2>().0.iter().zip(shard.params.entries.as_chunks::<2>().0);
        for ((linear, cut), (own, of_shard)) in self.cuts().zip(entries) {
            let (range, _) = cut.shard(rank, world_size);
            let mut to = of_shard[0].range.start;
            for_each_run(linear, cut.axis, &range, |run| {
                let run = own[0].range.start + run.start..own[0].range.start + run.end;
                all.push((run.clone(), to..to + run.len()));
                to += run.len();
            });
            let bias = if cut.axis == Axis::Features { 0..linear.out_features() } else { range };
            let start = own[1].range.start;
            all.push((start + bias.start..start + bias.end, of_shard[1].range.clone()));
        }
        all
    }

    /// Where each parameter stands in a buffer of the parameters' layout.
    pub(crate) fn entries(&self) -> &[ParamEntry] {
        &self.params.entries
    }

    pub(crate) fn buffer(&self) -> &[f32] {
        &self.params.values
    }

    pub(crate) fn buffer_mut(&mut self) -> &mut [f32] {
        &mut self.params.values
    }
}

/// Where a backward pass leaves the gradients with respect to the parameters.
enum Gradient<'a> {
    /// Used up at once: `params -= lr grads`.
    Descend { lr: f32, params: &'a mut [f32] },
    /// In a buffer of the parameters' layout.
    Keep { params: &'a [f32], grads: &'a mut [f32], output: Output },
}

impl Gradient<'_> {
    fn params(&self) -> &[f32] {
        match self {
            Gradient::Descend { params, .. } => params,
            Gradient::Keep { params, .. } => params,
        }
    }

    /// What becomes of a layer's gradient, and the place for it.
    fn of_layer(&mut self, span: Range<usize>) -> (Output, &mut [f32]) {
        match self {
            Gradient::Descend { lr, params } => (Output::Descend { lr: *lr }, &mut params[span]),
            Gradient::Keep { grads, output, .. } => (*output, &mut grads[span]),
        }
    }
}

/// A backward pass through a network's layers.
struct Backward<'a> {
    layers: &'a [Layer],
    widths: &'a [usize],
    in_features: usize,
    /// Whether the first layer takes the batch as it is.
    is_taken: bool,
    /// Whether it leaves out zeros number by number.
    is_wide: bool,
}

impl Backward<'_> {
    fn run(
        self,
        x: Input<'_>,
        loss_grad: &[f32],
        mut gradient: Gradient<'_>,
        context: &Context,
        workspace: &mut Workspace,
        comm: &mut dyn Comm,
    ) {
        let Backward { layers, widths, in_features, is_taken, is_wide } = self;
        let simd = context.simd;
        let m = x.samples(in_features);
        let Workspace { input, blocks, outputs, output_grad, input_grad, scratch, .. } = workspace;
        let Workspace { compressed, compressed_grad, transposed, .. } = workspace;
        // A dense first layer finds the batch where the forward pass wrote it.
        let x = match x {
            Input::SparseRows(_) | Input::BitRows(_) | Input::FewRows(_) if !is_taken => Rows::Dense(input.values()),
            Input::BitRows(_) | Input::FewRows(_) if !is_wide => Rows::Sparse(blocks.rows()),
            x => x.rows(),
        };
        output_grad.set_len(loss_grad.len());
        output_grad.copy_from_slice(loss_grad);
        for (index, layer) in layers.iter().enumerate().rev() {
            let (input, width) = match index.checked_sub(1) {
                Some(before) => (Rows::Dense(&outputs[before]), widths[before]),
                None => (x, in_features),
            };
            // Nobody asks for the gradient with respect to the data.
            let dx_wanted = index > 0;
            if dx_wanted {
                input_grad.set_len(m * width);
            }
            match layer {
                Layer::Linear { linear, span, cut } => {
                    // Before the weight may change.
                    if dx_wanted {
                        let weight = linear.weight_back(simd, &gradient.params()[span.clone()], transposed);
                        let dz = Rows::Dense(output_grad);
                        let dz = linear.operand(simd, dz, linear.out_features(), false, compressed_grad);
                        match cut.axis {
                            Axis::Features => {
                                linear.multiply_back(simd, weight, dz, 0..linear.out_features(), input_grad);
                            }
                            Axis::Units => comm.all_reduce(simd, &cut.parts, input_grad, &mut |part, dx| {
                                linear.multiply_back(simd, weight, dz, cut.range(part), dx);
                            }),
                        }
                    }
                    let input = linear.operand_back(simd, input, &mut compressed[index]);
                    let (output, buffer) = gradient.of_layer(span.clone());
                    linear.backward_parameters(simd, input, output_grad, output, scratch, buffer);
                }
                Layer::Elementwise { layer, first_unit } if dx_wanted => {
                    let place = Place { layer: index, first_unit: *first_unit, units: width };
                    layer.backward(context, place, input.values(), &outputs[index], output_grad, input_grad);
                }
                Layer::Elementwise { .. } => {}
            }
            std::mem::swap(output_grad, input_grad);
        }
    }
}

impl Layer {
    fn as_cut(&self) -> Option<(&Linear, &Cut)> {
        match self {
            Layer::Linear { linear, cut, .. } => Some((linear, cut)),
            Layer::Elementwise { .. } => None,
        }
    }
}

/// The runs of a layer's weight, in its kernel's layout, that belong to a `range` of features or units, in the order that
/// their numbers have in the shard's layout.
fn for_each_run(linear: &Linear, axis: Axis, range: &Range<usize>, mut visit: impl FnMut(Range<usize>)) {
    let (k, n) = (linear.in_features(), linear.out_features());
    match (axis, linear.kernel()) {
        // Whole rows of `[in_features, out_features]`.
        (Axis::Features, Kernel::Gemm) => visit(n * range.start..n * range.end),
        // Whole blocks of the packed weight.
        (Axis::Features, Kernel::Narrow) => visit(n * range.start..n * range.start + n * aligned_len(range)),
        // Of every panel, the weights of these features.
        (Axis::Features, Kernel::Wide) => {
            for first in (0..n).step_by(PANEL) {
                let outputs = PANEL.min(panels::padded(n) - first);
                visit(first * k + range.start * outputs..first * k + range.end * outputs);
            }
        }
        // A piece of every row.
        (Axis::Units, Kernel::Gemm) => (0..k).for_each(|row| visit(row * n + range.start..row * n + range.end)),
        // Whole panels, as `Cut` has it.
        (Axis::Units, Kernel::Wide) => visit(k * range.start..k * panels::padded(range.end)),
        // Narrow layers are not cut by units: one rank has all of it.
        (Axis::Units, Kernel::Narrow) => visit(0..n * aligned_len(&(0..k))),
    }
}

fn aligned_len(range: &Range<usize>) -> usize {
    super::params::aligned(range.len())
}

/// A table of its layers: output shape and parameters.
impl fmt::Display for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["layer".to_string(), "output".to_string(), "parameters".to_string()]];
        for (index, (layer, width)) in self.layers.iter().zip(&self.widths).enumerate() {
            let parameters = layer.as_cut().map_or(0, |(linear, _)| linear.weights() + linear.out_features());
            rows.push([format!("{index} {}", self.specs.0[index]), format!("[batch, {width}]"), grouped(parameters)]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let (first, second, third) = (width(0), width(1), width(2));
        writeln!(f, "input: [batch, {}]", self.in_features)?;
        for [layer, output, parameters] in &rows {
            writeln!(f, "{layer:<first$}  {output:<second$}  {parameters:>third$}")?;
        }
        write!(f, "{} parameters in all", grouped(self.parameter_count()))
    }
}

/// 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
