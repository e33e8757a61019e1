//! Which device is the faster for a batch: found by measurement on this device, and refined while it runs.

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// [`crate::cpu`]
    Cpu,
    /// [`crate::gpu`]
    Gpu,
}

/// How much an observation counts once the next one of the same device is there: the last ten or so make the estimate,
/// so that it follows a device that grows hot or is shared.
const FADING: f64 = 0.9;

/// What a batch costs a device, as `overhead + samples · each`: the line through what was observed, by least squares of
/// the relative errors, because what matters of a millisecond is how large a part of the time it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cost {
    /// Sums over the observations of weight · samplesⁱ and of weight · samplesⁱ · time.
    powers: [f64; 3],
    times: [f64; 2],
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Of any batch.
    pub overhead: f64,
    /// Of each sample.
    pub each: f64,
}

impl Line {
    /// Of so many samples.
    pub fn time(self, samples: usize) -> f64 {
        self.overhead + self.each * samples as f64
    }
}

impl Cost {
    fn observe(&mut self, samples: usize, time: f64) {
        let (n, weight) = (samples as f64, time.powi(-2));
        for (power, sum) in self.powers.iter_mut().enumerate() {
            *sum = *sum * FADING + weight * n.powi(power as i32);
        }
        for (power, sum) in self.times.iter_mut().enumerate() {
            *sum = *sum * FADING + weight * n.powi(power as i32) * time;
        }
    }

    /// Nothing before the first observation. Neither part is below zero: noise could make it so.
    fn line(&self) -> Option<Line> {
        let ([p0, p1, p2], [t0, t1]) = (self.powers, self.times);
        if p0 == 0.0 {
            return None;
        }
        let determinant = p0 * p2 - p1 * p1;
        let through_origin = Line { overhead: 0.0, each: t1 / p2 };
        // Observations of one size say nothing of the line's slope.
        if determinant <= 1e-9 * p0 * p2 {
            return Some(through_origin);
        }
        let each = (p0 * t1 - p1 * t0) / determinant;
        let overhead = (p2 * t0 - p1 * t1) / determinant;
        if overhead < 0.0 {
            return Some(through_origin);
        }
        Some(if each < 0.0 { Line { overhead: t0 / p0, each: 0.0 } } else { Line { overhead, each } })
    }
}

/// What a model's batches cost each device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Costs {
    cpu: Cost,
    gpu: Cost,
}

impl Costs {
    /// Takes the milliseconds that a device took for so many samples.
    pub fn observe(&mut self, device: Device, samples: usize, time: f64) {
        // A clock of little precision may show none.
        if samples > 0 && time > 0.0 && time.is_finite() {
            match device {
                Device::Cpu => self.cpu.observe(samples, time),
                Device::Gpu => self.gpu.observe(samples, time),
            }
        }
    }

    /// What a device costs, once it was observed.
    pub fn of(&self, device: Device) -> Option<Line> {
        match device {
            Device::Cpu => self.cpu.line(),
            Device::Gpu => self.gpu.line(),
        }
    }

    /// The device that is expected to answer first: the CPU until both were observed.
    pub fn faster(&self, samples: usize) -> Device {
        match (self.of(Device::Cpu), self.of(Device::Gpu)) {
            (Some(cpu), Some(gpu)) if gpu.time(samples) < cpu.time(samples) => Device::Gpu,
            _ => Device::Cpu,
        }
    }

    /// The least number of samples for which the GPU is the faster, if there is any.
    pub fn crossover(&self) -> Option<usize> {
        let (cpu, gpu) = (self.of(Device::Cpu)?, self.of(Device::Gpu)?);
        if gpu.time(1) < cpu.time(1) {
            return Some(1);
        }
        let gained = cpu.each - gpu.each;
        let crossover = ((gpu.overhead - cpu.overhead) / gained).floor() + 1.0;
        // Nobody has batches of more samples than that.
        (gained > 0.0 && crossover < f64::from(u32::MAX)).then_some(crossover as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(device: Device, times: &[(usize, f64)]) -> Costs {
        let mut costs = Costs::default();
        times.iter().for_each(|&(samples, time)| costs.observe(device, samples, time));
        costs
    }

    #[track_caller]
    fn assert_line(costs: &Costs, device: Device, overhead: f64, each: f64) {
        let line = costs.of(device).unwrap();
        let close = |got: f64, want: f64| (got - want).abs() <= 1e-6 * want.abs().max(1e-3);
        assert!(close(line.overhead, overhead) && close(line.each, each), "{line:?}");
    }

    #[test]
    fn two_sizes_give_overhead_and_slope() {
        let costs = observed(Device::Gpu, &[(1, 2.01), (1000, 12.0)]);
        assert_line(&costs, Device::Gpu, 2.0, 0.01);
    }

    #[test]
    fn one_size_gives_a_slope_alone() {
        assert_line(&observed(Device::Cpu, &[(10, 5.0), (10, 5.0)]), Device::Cpu, 0.0, 0.5);
    }

    #[test]
    fn noise_makes_no_cost_negative() {
        // Least squares of 1 − each · n / t, where n / t is 1, at nine tenths of the weight, and 0.1.
        let each = (0.9 + 0.1) / (0.9 + 0.01);
        assert_line(&observed(Device::Cpu, &[(1, 1.0), (100, 1000.0)]), Device::Cpu, 0.0, each);
        let falling = observed(Device::Cpu, &[(1, 10.0), (100, 5.0)]).of(Device::Cpu).unwrap();
        assert!(falling.each == 0.0 && falling.overhead > 5.0 && falling.overhead < 10.0, "{falling:?}");
    }

    #[test]
    fn a_clock_that_shows_nothing_is_not_believed() {
        let costs =
            observed(Device::Cpu, &[(1, 0.0), (1, -1.0), (1, f64::NAN), (1, f64::INFINITY), (0, 1.0)]);
        assert_eq!(costs, Costs::default());
    }

    #[test]
    fn the_gpu_is_the_faster_from_the_crossover_on() {
        let mut costs = observed(Device::Cpu, &[(1, 0.1), (100, 10.0)]);
        assert_eq!(costs.faster(1000), Device::Cpu, "the GPU was not observed yet");
        assert_eq!(costs.crossover(), None);
        costs.observe(Device::Gpu, 1, 2.01);
        costs.observe(Device::Gpu, 100, 3.0);
        let crossover = costs.crossover().unwrap();
        assert_eq!(crossover, 23, "2 / 0.09 is 22.2");
        assert_eq!(costs.faster(crossover), Device::Gpu);
        assert_eq!(costs.faster(crossover - 1), Device::Cpu);
    }

    #[test]
    fn a_gpu_that_is_always_faster_or_never_is_so() {
        let mut costs = observed(Device::Cpu, &[(1, 6.0), (100, 105.0)]);
        costs.observe(Device::Gpu, 1, 1.0);
        costs.observe(Device::Gpu, 100, 2.0);
        assert_eq!(costs.crossover(), Some(1));
        let mut slow = observed(Device::Cpu, &[(1, 0.1), (100, 10.0)]);
        slow.observe(Device::Gpu, 1, 20.0);
        slow.observe(Device::Gpu, 100, 2000.0);
        assert_eq!(slow.crossover(), None);
        assert_eq!(slow.faster(1 << 30), Device::Cpu);
    }

    #[test]
    fn a_device_that_changes_is_followed() {
        let mut costs = observed(Device::Gpu, &[(1, 2.0), (100, 3.0)]);
        for _ in 0..60 {
            costs.observe(Device::Gpu, 1, 20.0);
            costs.observe(Device::Gpu, 100, 30.0);
        }
        let line = costs.of(Device::Gpu).unwrap();
        assert!((line.time(100) - 30.0).abs() < 0.5, "{line:?}");
    }
}
