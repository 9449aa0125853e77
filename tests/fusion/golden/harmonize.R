# Golden values of Harmonized, by ComBat of the Bioconductor package sva (3.46) in R 4.2.
# Run in this folder:  Rscript harmonize.R
# people.csv: site, age, sex, and measures of images in their units; one output per case.
suppressMessages(library(sva))
set.seed(7)
site <- rep(c("A", "B", "C"), c(14, 11, 8))
n <- length(site)
age <- round(rnorm(n, 55 + 4 * (site == "B"), 11), 1)
sex <- ifelse(runif(n) < 0.55, "female", "male")
z <- matrix(rnorm(6 * n), 6, n)
x <- rbind(
  volume_mm3 = 70 + 18 * z[1, ] - 0.3 * (age - 55),
  min_area_mm2 = 4.5 + 1.4 * z[2, ] + 0.4 * (sex == "male"),
  fa = 0.45 + 0.06 * z[3, ] - 0.001 * (age - 55),
  md = 1.15 + 0.12 * z[4, ],
  t2_ms = 78 + 9 * z[5, ],
  texture = exp(1 + 0.4 * z[6, ])
)
# Scanner B reads low and narrow, scanner C high and wide.
spread <- c(A = 1, B = 0.7, C = 1.5)[site]
shift <- c(A = 0, B = -0.8, C = 1.1)[site]
for (g in rownames(x)) {
  s <- sd(x[g, ])
  x[g, ] <- mean(x[g, ]) + (x[g, ] - mean(x[g, ])) * spread + shift * s * runif(1, 0.6, 1.4)
}
gaps <- x
for (k in 1:14) gaps[sample(6, 1), sample(n, 1)] <- NA
colnames(x) <- colnames(gaps) <- sprintf("p%02d", 1:n)

keep <- function(values, name, ...) {
  text <- apply(t(values), 2, function(v) ifelse(is.na(v), "", sprintf("%.17g", v)))
  frame <- data.frame(person = colnames(x), ..., text)
  write.csv(frame, file.path("harmonize", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}
quiet <- function(...) suppressMessages(ComBat(batch = site, ...))
mod <- model.matrix(~ age + sex)
keep(x, "people", site = site, age = age, sex = sex)
keep(gaps, "people_gaps", site = site, age = age, sex = sex)
keep(quiet(x), "plain")
keep(quiet(x, mod = mod), "covariates")
keep(quiet(x, mod = mod, ref.batch = "B"), "reference")
keep(quiet(x, mod = mod, par.prior = FALSE), "nonparametric")
keep(quiet(x, mod = mod, mean.only = TRUE), "mean_only")
keep(quiet(gaps, mod = mod), "gaps")
