//! Figures that are kept elsewhere, read when somebody asks for the metrics.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// A function that is asked for its figures.
pub(super) struct Reading<F>(F);

impl<F> Reading<F>
where
    F: Fn(&mut Answer<'_>) -> fmt::Result + Send + Sync + 'static,
{
    pub(super) fn boxed(read: F) -> Box<dyn Collector> {
        Box::new(Self(read))
    }
}

impl<F> Collector for Reading<F>
where
    F: Fn(&mut Answer<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Answer(encoder))
    }
}

impl<F> fmt::Debug for Reading<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// Takes down figures. Names are without `_total` and without their unit.
pub(super) struct Answer<'a>(DescriptorEncoder<'a>);

impl Answer<'_> {
    pub(super) fn gauge<N: EncodeGaugeValue + fmt::Debug>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: N,
    ) -> fmt::Result {
        let help = sentence(help);
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, &help, unit, MetricType::Gauge)?)
    }

    pub(super) fn counter<N: EncodeCounterValue + fmt::Debug>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: N,
    ) -> fmt::Result {
        let help = sentence(help);
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, &help, unit, MetricType::Counter)?)
    }

    /// A gauge for each set of values of these labels.
    pub(super) fn gauges<const LABELS: usize, N: EncodeGaugeValue + fmt::Debug>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        labels: [&'static str; LABELS],
        values: impl IntoIterator<Item = ([&'static str; LABELS], N)>,
    ) -> fmt::Result {
        let help = sentence(help);
        let encoder = self.0.encode_descriptor(name, &help, unit, MetricType::Gauge)?;
        family(encoder, labels, values.into_iter().map(|(of, value)| (of, ConstGauge::new(value))))
    }

    /// A counter for each set of values of these labels.
    pub(super) fn counters<const LABELS: usize, N: EncodeCounterValue + fmt::Debug>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        labels: [&'static str; LABELS],
        values: impl IntoIterator<Item = ([&'static str; LABELS], N)>,
    ) -> fmt::Result {
        let help = sentence(help);
        let encoder = self.0.encode_descriptor(name, &help, unit, MetricType::Counter)?;
        family(encoder, labels, values.into_iter().map(|(of, value)| (of, ConstCounter::new(value))))
    }

    /// A histogram for each set of values of these labels: its sum, and its buckets with their upper bounds.
    pub(super) fn histograms<'a, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        labels: [&'static str; LABELS],
        values: impl IntoIterator<Item = ([&'static str; LABELS], f64, &'a [(f64, u64)])>,
    ) -> fmt::Result {
        let help = sentence(help);
        let mut encoder = self.0.encode_descriptor(name, &help, unit, MetricType::Histogram)?;
        for (of, sum, buckets) in values {
            let count = buckets.iter().map(|(_, count)| count).sum();
            let of = named(labels, of);
            encoder.encode_family(&of)?.encode_histogram::<NoLabelSet>(sum, count, buckets, None)?;
        }
        Ok(())
    }
}

/// A metric for each set of values of these labels.
fn family<const LABELS: usize, M: EncodeMetric>(
    mut encoder: MetricEncoder<'_>,
    labels: [&'static str; LABELS],
    metrics: impl Iterator<Item = ([&'static str; LABELS], M)>,
) -> fmt::Result {
    for (of, metric) in metrics {
        metric.encode(encoder.encode_family(&named(labels, of))?)?;
    }
    Ok(())
}

fn named<const LABELS: usize>(
    labels: [&'static str; LABELS],
    values: [&'static str; LABELS],
) -> [(&'static str, &'static str); LABELS] {
    std::array::from_fn(|at| (labels[at], values[at]))
}

/// The registry ends the help of its own metrics so.
fn sentence(help: &str) -> String {
    format!("{help}.")
}
