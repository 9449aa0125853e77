# Independent reference values for tests/stats, by base R and pROC.
# Run in this folder: Rscript golden.R   (Debian: r-base-core r-cran-proc)
# Written with R 4.2.2 and pROC 1.18.0.
suppressMessages(library(pROC))

keys <- character(); values <- numeric()
put <- function(key, value) {
  if (length(value) != 1) stop("not one number: ", key)
  keys <<- c(keys, key); values <<- c(values, unname(as.numeric(value)))
}
# The dot keeps R from taking `p = ` for an abbreviation of the first argument.
put_all <- function(.prefix, ...) {
  items <- list(...)
  for (name in names(items)) put(paste(.prefix, name, sep = "."), items[[name]])
}

# --- ROC -----------------------------------------------------------------------------
d <- read.csv("roc.csv")
curve <- function(score) roc(d$y, score, direction = "<", levels = c(0, 1), quiet = TRUE)
for (s in c("a", "b", "c")) {
  r <- curve(d[[s]])
  v <- var(r, method = "delong")
  ci95 <- ci.auc(r, method = "delong"); ci80 <- ci.auc(r, method = "delong", conf.level = 0.8)
  a <- as.numeric(r$auc)
  half <- qnorm(0.975) * sqrt(v) / (a * (1 - a))
  put_all(paste0("roc.", s), auc = a, se = sqrt(v), low = ci95[1], high = ci95[3],
          low80 = ci80[1], high80 = ci80[3],
          logit_low = plogis(qlogis(a) - half), logit_high = plogis(qlogis(a) + half))
}
for (pair in list(c("a", "b"), c("a", "c"), c("b", "c"))) {
  one <- curve(d[[pair[1]]]); two <- curve(d[[pair[2]]])
  t <- roc.test(one, two, method = "delong", paired = TRUE)
  put_all(paste0("roctest.", paste0(pair, collapse = "")), z = t$statistic, p = t$p.value,
          cov = cov(one, two, method = "delong"), low = t$conf.int[1], high = t$conf.int[2])
}
# A case where the upper limit is cut at 1.
r <- roc(c(0, 0, 0, 1, 1, 1), c(1, 2, 4, 3, 5, 6), direction = "<", quiet = TRUE)
ci <- ci.auc(r, method = "delong")
put_all("roc.cut", auc = r$auc, low = ci[1], high = ci[3])

# --- Calibration ---------------------------------------------------------------------
d <- read.csv("calibration.csv")
tight <- glm.control(epsilon = 1e-14, maxit = 100)
for (s in c("p", "coarse")) {
  p <- d[[s]]; lp <- qlogis(p); y <- d$y
  # Fitted again from the solution: vcov() uses the weights before the last step.
  large <- glm(y ~ offset(lp), family = binomial, control = tight)
  large <- glm(y ~ offset(lp), family = binomial, control = tight, start = coef(large))
  joint <- glm(y ~ lp, family = binomial, control = tight)
  joint <- glm(y ~ lp, family = binomial, control = tight, start = coef(joint))
  z <- qnorm(0.975)
  put_all(paste0("cal.", s),
          intercept = coef(large), intercept_se = sqrt(vcov(large)[1, 1]),
          joint_intercept = coef(joint)[1], joint_intercept_se = sqrt(vcov(joint)[1, 1]),
          slope = coef(joint)[2], slope_se = sqrt(vcov(joint)[2, 2]),
          observed_expected = sum(y) / sum(p))
  brier <- mean((y - p)^2)
  # Spiegelhalter's z as deviation of the Brier score from its mean under calibration.
  put_all(paste0("cal.", s), brier = brier,
          scaled_brier = 1 - brier / mean((y - mean(y))^2),
          spiegelhalter_z = (brier - mean(p * (1 - p))) /
            sqrt(sum((1 - 2 * p)^2 * p * (1 - p)) / length(p)^2))
}
fit <- loess(y ~ p, data = d, span = 0.75, degree = 1, surface = "direct",
             control = loess.control(surface = "direct", statistics = "none"))
at <- seq(0.02, 0.98, by = 0.02)
smooth <- data.frame(at = at, y = predict(fit, data.frame(p = at)))
write.csv(format(smooth, digits = 17), "loess.csv", row.names = FALSE, quote = FALSE)
errors <- abs(pmin(pmax(fitted(fit), 0), 1) - d$p)
put_all("cal.p", ici = mean(errors), e50 = median(errors), e90 = quantile(errors, 0.9))

# --- Rank-sum, Kruskal-Wallis, effect sizes --------------------------------------------
g <- read.csv("groups.csv")
for (case in unique(g$case)) {
  part <- function(group) g$value[g$case == case & g$group == group]
  x <- part("x"); y <- part("y")
  w <- suppressWarnings(wilcox.test(x, y, conf.int = TRUE, tol.root = 1e-10))
  normal <- suppressWarnings(wilcox.test(x, y, exact = FALSE, conf.int = TRUE,
                                         conf.level = 0.9, tol.root = 1e-10))
  put_all(paste0("wilcox.", case), w = w$statistic, p = w$p.value, shift = w$estimate,
          low = w$conf.int[1], high = w$conf.int[2], normal_p = normal$p.value,
          normal_low90 = normal$conf.int[1], normal_high90 = normal$conf.int[2])
  k <- kruskal.test(list(x, y, part("z")))
  put_all(paste0("kruskal.", case), h = k$statistic, p = k$p.value)
  m <- length(x); n <- length(y); df <- m + n - 2
  pooled <- sqrt(((m - 1) * var(x) + (n - 1) * var(y)) / df)
  d <- (mean(x) - mean(y)) / pooled; scale <- sqrt(1 / m + 1 / n); t <- d / scale
  limit <- function(q) scale * uniroot(function(ncp) pt(t, df, ncp) - q, t + c(-6, 6),
                                       tol = 1e-12)$root
  put_all(paste0("cohen.", case), d = d, low = limit(0.975), high = limit(0.025),
          j = gamma(df / 2) / (sqrt(df / 2) * gamma((df - 1) / 2)),
          smd = (mean(x) - mean(y)) / sqrt((var(x) + var(y)) / 2))
}

# --- Counts ----------------------------------------------------------------------------
tables <- list(sex = matrix(c(27, 30, 28, 43), 2), small = matrix(c(1, 7, 9, 3), 2),
               even = matrix(c(10, 10, 10, 11), 2), wide = matrix(c(12, 5, 30, 22, 8, 41), 2))
for (name in names(tables)) {
  test <- suppressWarnings(chisq.test(tables[[name]]))
  plain <- suppressWarnings(chisq.test(tables[[name]], correct = FALSE))
  put_all(paste0("chisq.", name), statistic = test$statistic, df = test$parameter,
          p = test$p.value, plain = plain$statistic, least = min(test$expected),
          fisher = fisher.test(tables[[name]])$p.value)
}
for (case in list(c(0, 12), c(3, 17), c(50, 50), c(55, 128))) {
  ci <- suppressWarnings(prop.test(case[1], case[2], correct = FALSE)$conf.int)
  put_all(sprintf("wilson.%d.%d", case[1], case[2]), low = ci[1], high = ci[2])
}
fit <- chisq.test(c(55, 73)); put_all("gof.sizes", statistic = fit$statistic, p = fit$p.value)
fit <- chisq.test(c(20, 30, 10), p = c(0.3, 0.5, 0.2))
put_all("gof.shares", statistic = fit$statistic, p = fit$p.value)

# --- Nadeau & Bengio -------------------------------------------------------------------
x <- read.csv("folds.csv")$difference
se <- sqrt(var(x) * (1 / length(x) + 15 / 135))
put_all("folds", mean = mean(x), se = se, t = mean(x) / se,
        p = 2 * pt(-abs(mean(x) / se), length(x) - 1),
        low = mean(x) - qt(0.975, length(x) - 1) * se)
plain <- t.test(x)
put_all("folds.plain", t = plain$statistic, p = plain$p.value,
        low = plain$conf.int[1], high = plain$conf.int[2])

# --- Sample size: C statistic to R2 by simulation, as Riley and colleagues do -------------
set.seed(1)
for (case in list(c(0.25, 0.75), c(0.1, 0.85), c(0.5, 0.65))) {
  n <- 1e6; events <- round(case[1] * n)
  outcome <- rep(c(0, 1), c(n - events, events))
  score <- rnorm(n) + sqrt(2) * qnorm(case[2]) * outcome
  fit <- glm(outcome ~ score, family = binomial)
  gain <- (fit$null.deviance - fit$deviance) / n
  # Standard error of the simulated R2 by the delta method, from people's contributions.
  mu <- fitted(fit)
  each <- dbinom(outcome, 1, mu, log = TRUE) * 2 - dbinom(outcome, 1, case[1], log = TRUE) * 2
  within <- sum(tapply(each, outcome, var) * c(n - events, events)) / n^2
  put_all(sprintf("r2.%g.%g", case[1], case[2]), r2 = 1 - exp(-gain),
          se = exp(-gain) * sqrt(within))
}

write.csv(data.frame(key = keys, value = sprintf("%.17g", values)), "golden.csv",
          row.names = FALSE, quote = FALSE)
